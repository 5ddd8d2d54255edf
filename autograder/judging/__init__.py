"""The judge: test cells run in a trusted process, the student's functions in another.

`trusted_side` runs a test cell; every student name in it stands for something in the student's
kernel, where `student_side` answers. Between them `wire` moves frames over a socket, `pack` and
`unpack` turn values into plain data and back (never pickle, never eval), `layers` describes
nn.Modules, `effects` carries changes of arguments home, and `peer` is the conversation itself.
The module docstrings say what each defends against. Nothing is imported here: the student's
process must not load the trusted side.
"""
