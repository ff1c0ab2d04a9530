"""What runs the tasks of a sweep: processes of this machine, Slurm, or dask."""
