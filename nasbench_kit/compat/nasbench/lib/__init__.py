"""Counterparts of ``nasbench.lib``: graph_util, model_spec and config."""
