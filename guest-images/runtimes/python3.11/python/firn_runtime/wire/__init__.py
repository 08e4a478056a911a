"""The messages between the agent and this process, as `bridge.proto` and `agent.proto` of `packages/protocol` have them.

The codec is a small one of our own: a function that brings its own version of `google.protobuf` must not find ours imported already.
"""
