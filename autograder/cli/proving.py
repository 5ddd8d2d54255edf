"""Before the class: are the graders right, is the machine fit, and what does it look like?"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from autograder import screen
from autograder.cli.base import (
    CourseOption,
    JobsOption,
    JsonOption,
    UnsafeLocal,
    collected,
    command,
    exit_with,
    find_course,
    print_json,
    say,
)


@command("autograder verify a1_cost_of_inference")
def verify(
    assignments: Annotated[list[str] | None, typer.Argument(help="Default: all.")] = None,
    course: CourseOption = None,
    jobs: JobsOption = None,
    unsafe_local: UnsafeLocal = False,
    as_json: JsonOption = False,
) -> None:
    """Prove the graders on their corpus: correct answers pass, wrong ones are named."""
    from autograder.corpus_files import variants
    from autograder.execute import Limits
    from autograder.grade import default_jobs
    from autograder.template import Template
    from autograder.verify import matrix, summary_of
    from autograder.verify import verify as run

    where = find_course(course)
    limits = Limits(unsafe_local=unsafe_local)
    summaries = []
    for assignment in assignments or where.assignments():
        where.check_assignment(assignment)
        for name in where.notebooks(assignment):
            template = Template.load(where, assignment, name)
            verdicts = run(template, where, limits, jobs or default_jobs(limits))
            named = ((verdict.variant.name, verdict) for verdict in verdicts)
            done = list(screen.progress(named, len(variants(template)), assignment))
            summaries += [summary_of(template, verdict) for verdict in done]
            if not as_json:
                wide = max(screen.console.width, 40 + 3 * len(done))  # no column is dropped
                screen.console.print(matrix(template, done), width=wide, crop=False)
    faults = [f"{each['variant']}: {fault}" for each in summaries for fault in each["faults"]]
    if as_json:
        print_json(summaries)
    else:
        for fault in faults:
            say(fault)
        say(f"{len(faults)} faults" if faults else "The graders judged every answer right.")
    exit_with(bool(faults))


@command("autograder doctor")
def doctor(course: CourseOption = None, as_json: JsonOption = False) -> None:
    """Say whether this machine is fit to grade, and what to do if not."""
    from rich.markup import escape

    from autograder.doctor import examine

    findings = examine(find_course(course))
    if as_json:
        print_json(findings)
    else:
        for finding in findings:
            mark = "[green]ok  [/]" if finding.ok else "[red]LOOK[/]"
            line = f"{mark} {finding.check}: {escape(finding.says)}"
            screen.console.print(line, soft_wrap=True)
    exit_with(not all(finding.ok for finding in findings))


@command("autograder demo --folder /tmp/demo")
def demo(
    folder: Annotated[Path | None, typer.Option(help="Default: demo/ in the course.")] = None,
    assignment: str = "a1_cost_of_inference",
    course: CourseOption = None,
    jobs: JobsOption = None,
    unsafe_local: UnsafeLocal = False,
) -> None:
    """Release, hand in, grade, give feedback and report on a sample class, start to end."""
    from autograder import demo as sample
    from autograder.execute import Limits
    from autograder.export import export as write_csv
    from autograder.feedback import write_feedback
    from autograder.grade import default_jobs, grade_class
    from autograder.release import release as make_release
    from autograder.report import analyse, write_report
    from autograder.template import Template

    home = find_course(course)
    home.check_assignment(assignment)
    where = sample.set_up(home, folder or home.root / "demo", assignment)
    say(f"1. Releasing {assignment}")
    make_release(where, assignment)
    template = Template.load(where, assignment, where.notebooks(assignment)[0])
    submissions = sample.sample_class(template)
    for submission in submissions:
        sample.hand_in(where, assignment, submission)
    say(f"2. Grading {len(submissions)} submissions")
    students = [submission.student for submission in submissions]
    limits = Limits(cell_s=10.0, unsafe_local=unsafe_local)
    start = time.monotonic()
    graded = grade_class(where, assignment, students, limits, jobs or default_jobs(limits))
    results = collected(graded, len(students))
    seconds = time.monotonic() - start
    say("3. Writing feedback, grades.csv and report.html")
    pages = ((student, write_feedback(where, assignment, student)) for student in students)
    written = [page for some in screen.progress(pages, len(students), "feedback") for page in some]
    write_csv(where, where.root / "grades.csv")
    write_report(analyse(where, assignment), where.root / "report.html")
    screen.console.print(screen.results_table(results, f"{assignment}: the sample class"))
    for line in screen.summary(results, seconds):
        say(line)
    for what, path in {
        "a feedback page": written[4],
        "grades as CSV": where.root / "grades.csv",
        "the report": where.root / "report.html",
        "the grade book": where.root / "gradebook.db",
        "nbgrader's own view": f"cd {where.root} && jupyter lab, then Nbgrader > Formgrader",
    }.items():
        say(f"{what + ':':22}{path}")
