"""All faults, as data: what is done, where, and what has to come of it."""

import outcomes
from fault import CALLS, Blow, Fault

__all__ = ["FAULTS"]

WITH_PROCESSES = ("processes", "mixed")
SENDERS = ("producer", "stage")


def act(name, outcome, calls=CALLS, **options):
    """What a step does."""
    return Fault(name.replace("_", " "), outcome, act=name, calls=calls, **options)


def act_in_worker(name, outcome, calls=CALLS, **options):
    """What a step does in a worker process."""
    options = {"where": "process", "roles": ("stage",), "executors": WITH_PROCESSES, **options}
    return act(name, outcome, calls, **options)


NOTHING = Fault("nothing", outcomes.harmless)

RAISED = [
    act("raises", outcomes.fails),
    act("raises_what_cannot_be_pickled", outcomes.fails),
    act("raises_what_cannot_be_unpickled", outcomes.fails),
    act("raises_what_ends_its_unpickler", outcomes.fails),
    act("raises_what_cannot_be_shown", outcomes.fails),
    act("raises_a_long_text", outcomes.fails),
    act("raises_a_chain_of_causes", outcomes.fails),
    act("raises_a_group", outcomes.fails),
    act("raises_a_base_exception", outcomes.fails),
    act("raises_keyboard_interrupt", outcomes.fails_or_interrupts),
    act("raises_generator_exit", outcomes.fails),
    act("raises_stop_iteration", outcomes.fails),
    act("raises_step_error", outcomes.fails),
    act("raises_tool_configuration_error", outcomes.fails_as_configuration),
    act("raises_system_exit_0", outcomes.fails),
    act("raises_system_exit_3", outcomes.fails),
    act("raises_system_exit_with_text", outcomes.fails),
    act("recurses", outcomes.fails),
    act("recurses_in_c", outcomes.fails),
    act("takes_all_memory", outcomes.fails_with_others, calls=("init", "run", "finish")),
    act("returns_false", outcomes.fails, calls=("init",)),
]

MESSAGES = [
    act("sends_what_cannot_be_pickled", outcomes.fails_at_sender, ("run",), roles=SENDERS),
    act("sends_what_raises_when_pickled", outcomes.fails_at_sender, ("run",), roles=SENDERS),
    act("sends_what_exits_when_pickled", outcomes.fails_at_sender, ("run",), roles=SENDERS),
    act("sends_what_cannot_be_unpickled", outcomes.fails_at_receiver, ("run",), roles=SENDERS),
    act("sends_what_exits_when_unpickled", outcomes.fails_at_receiver, ("run",), roles=SENDERS),
    act("sends_what_kills_its_receiver", outcomes.kills_receiver, ("run",), roles=SENDERS),
    act("sends_to_nowhere", outcomes.fails, ("run",), roles=SENDERS),
    act("sends_outside_of_run", outcomes.fails, ("init", "finish")),
    act("sends_in_another_thread", outcomes.fails, ("run",), roles=SENDERS),
    act("sends_a_large_message", outcomes.harmless, ("run",), roles=SENDERS),
]

ENDS = [
    act("exits_with_0", outcomes.dies(0)),
    act("exits_with_3", outcomes.dies(3)),
    act("kills_itself", outcomes.dies(-9)),
    act("segfaults", outcomes.dies(-11)),
    act("aborts", outcomes.dies(-6)),
    act("is_ended_by_alarm", outcomes.dies(-14), ("init", "run", "finish")),
    act_in_worker("kills_the_fork_server", outcomes.loses_fork_server),
    act_in_worker("stops_the_fork_server", outcomes.harmless, ("run",)),
    act_in_worker("kills_a_sibling", outcomes.sibling_dies, ("run",)),
    act_in_worker("closes_all_descriptors", outcomes.dies_or_fails),
    act_in_worker("closes_sockets", outcomes.dies_or_fails, ("run",)),
]

LEFT = [
    act("forks", outcomes.harmless),
    act("forks_what_lasts", outcomes.leaves_processes),
    act("starts_a_thread", outcomes.harmless),
    act("starts_a_daemon_thread", outcomes.harmless),
    act_in_worker("starts_a_thread_that_lasts", outcomes.harmless),
    act("starts_a_program", outcomes.leaves_processes),
    act("leaves_a_fork_pool", outcomes.harmless, ("init", "run")),
    # Each takes seconds on a busy machine, and a worker may be replaced after every job.
    act("leaves_a_spawn_pool", outcomes.harmless, ("init", "run"), repeats=False),
    act("leaves_a_forkserver_pool", outcomes.harmless, ("init", "run"), repeats=False),
    act("leaves_an_executor", outcomes.harmless, ("init", "run")),
    act("leaves_a_manager", outcomes.harmless, ("init", "run")),
    act("leaves_a_process", outcomes.harmless, ("init", "run")),
]

CHANGES = [
    act("closes_stdin", outcomes.harmless, repeats=False),
    act_in_worker("closes_stdout_and_stderr", outcomes.harmless, CALLS, repeats=False),
    act("ignores_signals", outcomes.harmless_or_fails),
    act("blocks_signals", outcomes.harmless),
    act("changes_directory", outcomes.harmless),
    act("removes_its_directory", outcomes.harmless, repeats=False),
    act("clears_environment", outcomes.harmless),
    act("changes_umask", outcomes.harmless),
    act("disables_logging", outcomes.harmless),
    act("shuts_logging_down", outcomes.harmless),
    act("replaces_stderr", outcomes.harmless),
    act("turns_warnings_into_errors", outcomes.harmless),
    act("destroys_zmq_instance", outcomes.harmless),
    act("unfreezes_and_collects", outcomes.harmless),
    act("lowers_recursion_limit", outcomes.harmless_or_fails),
    act("removes_temporary_files", outcomes.ends_somehow, executors=WITH_PROCESSES),
    act_in_worker("removes_temporary_files_and_dies", outcomes.ends_somehow, ("run",)),
]


def blow(name, target, signals, outcome, **options):
    """What comes from outside."""
    blow_options = {key: options.pop(key) for key in ("when", "gap_s") if key in options}
    return Fault(name, outcome, blow=Blow(target, signals, **blow_options), **options)


SIGNALS = [
    *(
        blow(f"{name} to {target}", target, (name,), outcomes.interrupted)
        for name in ("SIGINT", "SIGTERM", "SIGHUP")
        for target in ("main", "group")
    ),
    *(
        blow(f"{name} twice to {target}", target, (name, name), outcomes.aborted, gap_s=gap_s)
        for name, target, gap_s in [
            ("SIGINT", "main", 0.02),
            ("SIGINT", "group", 0.0),
            ("SIGTERM", "main", 0.0),
            ("SIGHUP", "group", 0.02),
        ]
    ),
    blow(
        "SIGINT ten times to group",
        "group",
        ("SIGINT",) * 10,
        outcomes.aborted_by_many,
        gap_s=0.005,
    ),
    blow("SIGKILL to main", "main", ("SIGKILL",), outcomes.main_dies(-9)),
    blow("SIGQUIT to main", "main", ("SIGQUIT",), outcomes.main_dies(-3)),
    blow("SIGSTOP to main for 0.3 s", "main", ("SIGSTOP", "SIGCONT"), outcomes.harmless, gap_s=0.3),
    *(
        blow(f"{name} to {target}", target, (name,), outcome, executors=WITH_PROCESSES)
        for target, name, outcome in [
            ("server", "SIGINT", outcomes.harmless),
            ("server", "SIGTERM", outcomes.harmless),
            ("server", "SIGHUP", outcomes.harmless),
            ("server", "SIGKILL", outcomes.fork_server_dies),
            ("server", "SIGSEGV", outcomes.fork_server_dies),
            ("worker", "SIGINT", outcomes.harmless),
            ("worker", "SIGTERM", outcomes.harmless),
            ("worker", "SIGHUP", outcomes.harmless),
            ("worker", "SIGKILL", outcomes.worker_dies),
            ("worker", "SIGABRT", outcomes.worker_dies),
        ]
    ),
    blow(
        "SIGSTOP to worker for 0.3 s",
        "worker",
        ("SIGSTOP", "SIGCONT"),
        outcomes.harmless,
        gap_s=0.3,
        executors=WITH_PROCESSES,
    ),
]

# Python calls the handler once for two signals that come before the main thread looks for them,
# which it does twice a second at the latest.
BLOCKS = [
    Fault(
        f"{name.replace('_', ' ')}, {signal} twice",
        outcomes.aborted_for_sure,
        act=name,
        blow=Blow("main", (signal, signal), "acted", 1.0),
        calls=("init", "run", "finish"),
        **options,
    )
    for name, signal, options in [
        ("blocks", "SIGINT", {}),
        ("blocks", "SIGTERM", {}),
        ("blocks_in_c", "SIGINT", {}),
        ("blocks_with_the_gil", "SIGTERM", {"where": "process", "executors": WITH_PROCESSES}),
        (
            "blocks_with_blocked_signals",
            "SIGINT",
            {"where": "process", "executors": WITH_PROCESSES},
        ),
    ]
]

# What a step of the main process does to it with the GIL, nobody can end.
OUT_OF_TIME = [
    Fault(
        f"{name.replace('_', ' ')}, job_timeout",
        outcome,
        act=name,
        calls=("run",),
        roles=("stage",),
        where=where,
        executors=executors,
        needs="job_timeout",
        conf=(("job_timeout", 1.0),),
    )
    for where, outcome, executors, names in [
        (
            "process",
            outcomes.out_of_time,
            WITH_PROCESSES,
            ("blocks", "blocks_in_c", "blocks_with_the_gil", "blocks_with_blocked_signals"),
        ),
        ("main", outcomes.out_of_time_here, ("threads",), ("blocks", "blocks_in_c")),
    ]
    for name in names
]


def around(name, outcome, **options):
    """What the run finds when it starts."""
    return Fault(name.replace("_", " "), outcome, around=name, **options)


AROUND = [
    around("few_descriptors", outcomes.ends_somehow),
    around("few_processes", outcomes.ends_somehow, needs="user"),
    around("little_address_space", outcomes.ends_somehow),
    around("small_files_only", outcomes.ends_somehow),
    around("output_to_full_disk", outcomes.output_fails),
    around("stdout_full", outcomes.output_fails),
    around("stdout_closed", outcomes.harmless),
    around("stdout_not_read", outcomes.output_fails),
    around("stderr_closed", outcomes.harmless),
    around("stderr_full", outcomes.harmless),
    around("log_full", outcomes.harmless),
    around("no_temporary_directory", outcomes.harmless),
    around("long_temporary_directory", outcomes.harmless),
    around("temporary_directory_not_writable", outcomes.harmless, needs="user"),
    around("temporary_directory_full", outcomes.ends_somehow, needs="mounts"),
    around("temporary_directory_read_only", outcomes.ends_somehow, needs="mounts"),
    around("shared_memory_directory_full", outcomes.harmless, needs="mounts"),
    around("two_runs", outcomes.harmless),
    around("two_runs_in_threads", outcomes.harmless),
    Fault(
        "two runs, SIGKILL to one",
        outcomes.main_dies(-9),
        around="two_runs",
        blow=Blow("main", ("SIGKILL",)),
    ),
]

WINDOWS = [
    Fault(f"window {window.replace('_', ' ')}", outcomes.harmless, window=window)
    for window in (
        "is_absent",
        "reads",
        "vanishes",
        "does_not_read",
        "comes_late",
        "closes_at_once",
        "is_silent",
        "floods",
        "sends_garbage_after_greeting",
    )
]

FAULTS = (
    NOTHING,
    *RAISED,
    *MESSAGES,
    *ENDS,
    *LEFT,
    *CHANGES,
    *BLOCKS,
    *OUT_OF_TIME,
    *SIGNALS,
    *AROUND,
    *WINDOWS,
)
