"""The repository root is an nbgrader course. nbgrader and `autograder` both read this file."""

c = get_config()  # noqa: F821

c.CourseDirectory.course_id = "efficient_dl"
c.CourseDirectory.source_directory = "assignments"

# Points per late day belong here, as a plugin class: see nbgrader's documentation of
# AssignLatePenalties.plugin_class. Without one, late work is marked late and loses nothing.

c.ClearSolutions.code_stub = {
    "python": "# YOUR CODE HERE\nraise NotImplementedError('no answer yet')",
}
c.ClearSolutions.text_stub = "*Write your answer here.*"
