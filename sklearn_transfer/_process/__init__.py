"""Everything that touches the whole process, and the tools to do so safely.

Whatever a call of this package changes or keeps beyond its own objects is listed here. Whoever
adds such an effect adds it to this list.

Environment variables, each a number of bytes unless it says otherwise
    SKLEARN_TRANSFER_CACHE_BYTES : features in memory, read when a store is first used.
    SKLEARN_TRANSFER_DISK_CACHE_BYTES : features in a folder, read when it is first used.
    SKLEARN_TRANSFER_ACTIVATION_BYTES : activations in memory, read at the first fine-tuning.
    SKLEARN_TRANSFER_TRAINING_BYTES : samples of one fit before they go to a temporary file,
    read by each fit.
    SKLEARN_TRANSFER_KEEP_MEMORY : 0 leaves the allocator alone.
    SKLEARN_TRANSFER_HOME : the user's cache folder of this package, or 0 for none, read by
    each call.
    SKLEARN_TRANSFER_HOME_BYTES : files about networks in one folder, read when one is written.

Allocator (`allocator`)
    From the first training, or the first pass of a named network, glibc keeps freed memory
    until the process ends. Each time an engine has been made, it returns what is free at that
    moment. Other C libraries are left alone.

Threads (`threads`, `blas`)
    Pools of threads live as long as the call that made them. The number of OpenMP threads is
    set to one for threads of those pools alone. BLAS has one thread in the whole process while
    small models are fitted, and then as many as before; a child that is forked meanwhile keeps
    one. Batch predictors of a process take turns. OpenVINO and ONNX Runtime have threads of
    their own.

Forks (`forks`, `locks`)
    Hooks, in the order of `forks.Turn`: locks of this package are made anew in the child
    (LOCKS); the parent waits up to two seconds for threads that are ending, and the child
    notes that networks must run in new threads (THREADS); files of stores on disk are closed
    in the parent, and claims forgotten in the child (STORES); engines of OpenVINO are never
    freed in the child (ENGINES). Engines of the parent are not used in the child, which makes
    its own where it can.

At exit
    The times of last use are written to stores on disk, and their files are closed.

Random numbers (`draws`)
    The global generators of `random` and numpy are seeded while a user's callable runs, and
    restored. Where an operation of torch takes a generator, torch's is replaced in this thread
    only. Other operations, training, and building networks with random weights set the global
    one and restore it.

Other settings of torch
    TF32 on CUDA during a pass in float32, the default dtype while a network is built, and
    the fast path of attention while one is exported: each set, and restored, under a lock.
    So is the switch of the exporter's log. The exporter keeps a function of ours for root mean
    square normalization, from the first export to the end of the process.

Warnings
--------
    Filters are changed while a network is exported, and restored, which Python does for all
    threads at once. The same holds around some calls of other libraries.

Registries and caches
    Networks by what was asked for (2 GiB of weights, the least recently used go first) with
    their engines, and likewise what manifests say about networks; versions of packages;
    folders that cannot be written, and kinds of network file systems of which a warning has
    told; stores by kind and folder; estimators that batch predictors brought (4); digests of
    files by path and time of change (500,000) and of classes; one lock per network that is
    split; whether optional packages are installed, which names torchvision knows, which of
    torch's functions draw, policies of augmentation by name, the pools of OpenMP threads that
    were there when first limited, and MKL's function that limits its own.
"""
