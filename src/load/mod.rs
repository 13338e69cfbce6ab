//! Room `load`: drives a cleared target and measures it.
