//! The one form of every list of error codes. A list is code, so that a code cannot be misspelled, and a table, from which
//! `docs/errors.md` is written. A package of its own, because the console shares nothing else with what it judges.

/// Declares an enum of codes. The comment on a code is its meaning; then come the text that stands for it, the value of the one
/// further column, and the next step for whoever reads it.
#[macro_export]
macro_rules! codes {
    (
        $(#[$attribute:meta])*
        pub enum $Codes:ident { $column:ident: $Column:ty }
        $($(#[doc = $meaning:literal])+ $name:ident = $text:literal, $value:expr, $next:literal;)+
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $Codes { $($(#[doc = $meaning])+ $name,)+ }

        impl $Codes {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The code as people and programs see it. It never changes its meaning.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// What it means.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($meaning),+).trim_ascii(),)+ }
            }

            #[doc = concat!("The column `", stringify!($column), "`.")]
            pub const fn $column(self) -> $Column {
                match self { $(Self::$name => $value,)+ }
            }

            /// What to do next.
            pub const fn next_step(self) -> &'static str {
                match self { $(Self::$name => $next,)+ }
            }
        }

        impl ::std::fmt::Display for $Codes {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
