"""Experiment files (TOML), and the flags that mean the same.

    table = "digits"             # name or path; or a list of them: a comparison over many tasks
    seeds = 100                  # 0 to 99
    policy = "always"
    reward_images = "validation" # of weight sharing; or "half-of-training"
    device = "cpu"               # of weight sharing and of the fallback
    data = "photos.npz"          # of both, on a table made from images of your own
    fallback = true              # train what the table lacks
    space = "v7e9"               # of searches with a fallback; the table's whole space by default
    space = "nasbench-macro"     # without a table and a fallback: everything is trained,
    recipe = "digits"            # by this recipe,
    fidelities = [4, 12, 36]     # for as many epochs as a search asks,
    repeats = 3                  # with these seeds, 0 to 2, drawn and at last for the score
    objectives = ["accuracy", "seconds"]  # fronts are compared, by their hypervolume
    out = "runs/populations"

    [budget]                     # of each run; any of the three
    seconds = 600

    [algorithms.random-search]   # a label; without "method" it is the method's name as well

    [algorithms.re50]
    method = "regularized-evolution"
    population_size = 50

    [get]                        # shown where a table of that name, or pattern, is not at hand
    mine = "nasbench-kit convert FILE mine.h5"

On flags an algorithm is LABEL=METHOD(SETTING=VALUE, ...), with all but METHOD optional and values as
in TOML: ``--algorithms random-search "re50=regularized-evolution(population_size=50)"``. Both become
the same dictionary; a flag takes the place of what the file says.

Other people's packages add algorithms by an entry point of the group ``nasbench_kit.algorithms``,
whose object makes a search when it is called without arguments.
"""
