"""Nothing but Lava Processes and ProcessModels may live here.

To find the model of a Process, Lava imports every module beside it and executes every .py file of
its folder (lava-nc 0.10, ProcGroupDiGraphs._find_proc_models).
"""
