//! A policy problem is something in the reviewed policy that must be mended before a remote target can be cleared.
//!
//! It knows its key and its remedy; where it stands in the file is known to whoever read the file.

use ipnet::IpNet;

/// Something in the policy that must be mended before a remote target can be cleared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyProblem {
    /// Nothing is called production, so nothing would be kept from load. List the production hosts.
    #[error("no production host is listed")]
    NoProduction,
    /// Nothing is called a preview, so nothing can be cleared. List where previews live.
    #[error("no preview pattern is listed")]
    NoPreview,
    /// A production entry is not one exact host name. Write each name on its own.
    #[error("production entry {entry:?} is not a host name: {flaw}")]
    MalformedProduction {
        /// The entry, cut to a readable length.
        entry: String,
        /// What is wrong with it.
        flaw: &'static str,
    },
    /// A preview pattern does not follow the grammar. Mend it as the text says.
    #[error("preview pattern {pattern:?} cannot be used: {flaw}")]
    MalformedPattern {
        /// The pattern, cut to a readable length.
        pattern: String,
        /// What is wrong with it.
        flaw: &'static str,
    },
    /// A preview pattern names one lasting host, so nothing ties it to a pull request. Add `{pr}` or `{branch}`.
    #[error("preview pattern {pattern:?} names one fixed host")]
    FixedPreview {
        /// The pattern.
        pattern: String,
    },
    /// A preview pattern and the production list overlap. Give previews a zone of their own.
    #[error("preview pattern {pattern:?} also covers the production host {host}")]
    CoversProduction {
        /// The pattern.
        pattern: String,
        /// The production host.
        host: String,
    },
    /// Branches give whole labels beside production, and a branch is named by whoever opens the pull request.
    /// Give previews a zone of their own.
    #[error(
        "preview pattern {pattern:?} lets a branch take the name of any host beside production host {host}"
    )]
    BesideProduction {
        /// The pattern.
        pattern: String,
        /// The production host.
        host: String,
    },
    /// The platform is none that is known, or its project is not pinned. Write the keys that the text names.
    #[error("platform {name:?} cannot be used: {flaw}")]
    UnusablePlatform {
        /// The platform's name, cut to a readable length.
        name: String,
        /// What is wrong with it.
        flaw: String,
    },
    /// A network reaches beyond one special-purpose block. List only the private range that previews live in.
    #[error("network {network} is not inside one private range")]
    UnlistableNetwork {
        /// The network.
        network: IpNet,
    },
}

impl PolicyProblem {
    /// Returns the remedy in one line.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::NoProduction => {
                "list every production host (a public suffix is none): production = [\"example.com\", \
                 \"www.example.com\"]"
                    .into()
            }
            Self::NoPreview => "say where previews live: preview = [\"pr-{pr}.preview.example.com\"]".into(),
            Self::MalformedProduction { .. } => {
                "write one exact host name an entry, such as \"www.example.com\"".into()
            }
            Self::MalformedPattern { .. } => {
                "write host labels with {pr}, {branch} or {hash} inside them, such as \
                 \"pr-{pr}.preview.example.com\" or \"pr-{pr}.preview.example.com:8443\""
                    .into()
            }
            Self::FixedPreview { .. } => "bind the pattern to the pull request with {pr} or {branch}".into(),
            Self::CoversProduction { .. } | Self::BesideProduction { .. } => {
                "give previews a zone of their own, such as \"pr-{pr}.preview.example.com\"".into()
            }
            Self::UnusablePlatform { .. } => "write the platform and what pins your project, such as \
                 platform = { name = \"vercel\", project = \"shop\", scope = \"acme\" }"
                .into(),
            Self::UnlistableNetwork { .. } => {
                "list only the private range that previews live in, such as \"10.20.0.0/16\"".into()
            }
        }
    }

    /// Returns the configuration key that holds the problem.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::NoProduction | Self::MalformedProduction { .. } => "target.production",
            Self::UnusablePlatform { .. } => "target.platform",
            Self::UnlistableNetwork { .. } => "target.networks",
            Self::NoPreview
            | Self::MalformedPattern { .. }
            | Self::FixedPreview { .. }
            | Self::CoversProduction { .. }
            | Self::BesideProduction { .. } => "target.preview",
        }
    }
}
