"""Run work of tests in several threads at once."""

import threading


def run_together(n_threads, work):
    """Run `work(number)` in threads that start at once; return the errors they raised."""
    barrier, raised = threading.Barrier(n_threads), []

    def guarded(number):
        try:
            barrier.wait()
            work(number)
        except Exception as error:
            raised.append(error)

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised
