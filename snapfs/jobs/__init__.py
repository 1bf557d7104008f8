"""The verbs of maintenance. A job returns a report; it prints nothing."""
