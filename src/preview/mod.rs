//! Room `preview`: the small service that the demo loads.
