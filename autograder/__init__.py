"""The instructor's side: release, grade, give feedback and export, on nbgrader's own records."""
