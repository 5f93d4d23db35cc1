//! Checks the structure of `src` from its source text.
//!
//! | rule | checked by |
//! |---|---|
//! | a file imports only from files of lower ranks, or of its own module | `files_import_from_lower_ranks_only` |
//! | no files import each other, directly or by way of others | `no_files_import_each_other` |
//! | no two types have one name | `no_two_types_have_one_name` |
//! | no file is longer than 350 lines | `no_file_is_too_long` |
//! | every test file is part of the test binary | `every_test_file_is_part_of_the_binary` |
//! | paths named in CONTRIBUTING.md exist | `contributing_names_paths_that_exist` |
//!
//! Names are followed through re-exports to the file that defines them, so a `mod.rs` that only declares and re-exports
//! modules creates no dependency. Code that is compiled for tests only is ignored, except for the length of files.
//!
//! `known.txt` lists known violations of the rules and may only become shorter. `STRUCTURE_WRITE=1 cargo test -p
//! structure` writes it again.

#[cfg(test)]
mod imports;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod tokens;
