//! Room `publish`: tells the pull request what happened.
