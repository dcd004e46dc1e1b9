"""A model of the appliance for schedules by the million: the effects of the driver's lines, without a console.

`program` gives lines that are steps instead of text, `appliance` keeps what they change, `console` carries them with
the same faults as the simulator's sessions. What they do is held to the simulator's by a contract test
(tests/simulation/test_fast_model.py): same lines, same faults, same state, same answers.
"""
