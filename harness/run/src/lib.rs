//! Replays a sequence on the model and on a target, and gives the verdict.
