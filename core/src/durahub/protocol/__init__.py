"""The wire format of Dapr Workflow SDKs: messages, frames of raw events, and times.

`messages` has the message classes, `frames` joins stored events into messages without decoding
them, `times` converts protocol times. Nothing here decides anything: see `durahub.engine`.
"""
