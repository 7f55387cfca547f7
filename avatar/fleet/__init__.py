"""Many trainings, renderings and evaluations on the machines of a Ray cluster, from one manifest.

A row of the manifest is a sequence of jobs (`rows`); a job is one `headsplat` command in a process of its own
(`process`), whose outputs appear in the store as one whole folder with a record (`store`, `worker`). `runner` decides
what runs, `ray_cluster` where.
"""
