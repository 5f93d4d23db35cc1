//! Output for people: sentences, warnings, labelled lines, commands and tables, fitted to a terminal.
//!
//! | file | content |
//! |---|---|
//! | `page` | a page, from top to bottom |
//! | `table` | tables: columns that do not fit are left out by rank, and a cell is never broken |
//! | `style` | colours, and the properties of the output stream |
//! | `wrap` | line breaks between words |
//! | [`words`] | counts, ages, sizes and names |
//!
//! Text from a peer must be escaped before it gets here. In a pipe nothing is wrapped, left out or coloured.

#[cfg(test)]
pub(crate) mod golden;
mod page;
mod style;
mod table;
pub mod words;
mod wrap;

pub use page::Page;
pub use style::{OutputStyle, StyledText};
pub use table::TextTable;
