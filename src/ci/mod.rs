//! Room `ci`: reads CI and platform environments into one typed context and named target candidates.
