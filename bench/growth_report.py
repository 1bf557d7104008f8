def plot(*a):
    pass


def tables(*a):
    return ""
