"""Prune: give back the space of what nothing needs, while everybody else goes on.

    survey → plan → repack → Condemn            nothing is deleted
    a later run:  survey → Delete → objects go → Gone

Between Condemn and Delete a commit that needs a condemned pack rescues it by naming it; after
Delete none may. The day between is economy; the order of the records alone is the safety. A crash
anywhere leaves work for the next prune, never damage.
"""
