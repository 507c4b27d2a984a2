//! Kinds of personal and secret data, and of text that holds some.

/// One line per kind gives the case, its word in settings and its label.
macro_rules! kinds {
    ($($(#[$about:meta])* $case:ident $word:literal $label:literal,)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
        pub(crate) enum Kind {
            $($(#[$about])* #[serde(rename = $word)] $case,)+
        }

        impl Kind {
            pub(crate) const ALL: &[Kind] = &[$(Kind::$case),+];

            pub(crate) fn label(self) -> &'static str {
                match self {
                    $(Kind::$case => $label,)+
                }
            }
        }
    };
}

kinds! {
    Email "email" "pii.email",
    Phone "phone" "pii.phone",
    Card "card" "pii.card",
    Iban "iban" "pii.iban",
    NationalId "national_id" "pii.national_id",
    Ip "ip" "pii.ip",
    Secret "secret" "secret",
    Name "name" "pii.name",
    Address "address" "pii.address",
    BirthDate "birth_date" "pii.birth_date",
    Other "other" "pii.other",
    /// Text that holds values of other kinds among what may be seen.
    Text "text" "pii.text",
}

impl Kind {
    /// Whether values of this kind are known by what they look like.
    pub(crate) fn is_found(self) -> bool {
        match self {
            Kind::Email
            | Kind::Phone
            | Kind::Card
            | Kind::Iban
            | Kind::NationalId
            | Kind::Ip
            | Kind::Secret => true,
            Kind::Name | Kind::Address | Kind::BirthDate | Kind::Other | Kind::Text => false,
        }
    }

    /// The kind of a label that no setting explains: every label means that a column is
    /// sensitive, so one that is not known is `Other`.
    pub(crate) fn of_label(label: &str) -> Kind {
        let known = Kind::ALL.iter().copied().find(|kind| kind.label() == label);
        known.unwrap_or(if label == "pii.secret" { Kind::Secret } else { Kind::Other })
    }
}
