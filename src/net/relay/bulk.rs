//! How many bytes a relay moves by one read during a bulk transfer. Large reads save system calls and packets, but the
//! bytes are used three times: the kernel copies them, TLS encrypts or decrypts them, and the kernel copies the result.
//! If they do not stay in the processor's second-level cache meanwhile, that costs more than the large reads save.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use crate::limits::{RELAY_BUFFER, RELAY_BUSY};

/// Bytes moved by one read during a bulk transfer: a multiple of [`RELAY_BUFFER`] up to [`RELAY_BUSY`].
pub(super) fn bulk_bytes() -> usize {
    static BYTES: LazyLock<usize> =
        LazyLock::new(|| fitting(second_level_cache(Path::new("/sys/devices/system/cpu/cpu0/cache"))));
    *BYTES
}

/// Returns how many bytes fit a cache of this size: an eighth of it. Input and output then take a quarter, and the rest
/// is left to the kernel's buffers and to other work. If the size is unknown, it is taken to be small.
fn fitting(cache: Option<usize>) -> usize {
    let buffers = cache.unwrap_or_default() / 8 / RELAY_BUFFER;
    buffers.clamp(1, RELAY_BUSY / RELAY_BUFFER) * RELAY_BUFFER
}

/// Reads the size of the second-level cache from the files of one processor; `None` if the kernel does not report it,
/// as in some virtual machines.
fn second_level_cache(folder: &Path) -> Option<usize> {
    let caches = (0..MOST_CACHES).map(|number| folder.join(format!("index{number}")));
    let second = caches
        .into_iter()
        .find(|cache| fs::read_to_string(cache.join("level")).is_ok_and(|level| level.trim() == "2"))?;
    let size = fs::read_to_string(second.join("size")).ok()?;
    let (number, unit) = size.trim().split_at_checked(size.trim().len().checked_sub(1)?)?;
    let unit = match unit {
        "K" => 1024,
        "M" => 1024 * 1024,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(unit)
}

/// Maximum number of caches of a processor that are looked at. Most have four: two of the first level, and one of each
/// further level.
const MOST_CACHES: usize = 8;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{fitting, second_level_cache};
    use crate::limits::{RELAY_BUFFER, RELAY_BUSY};

    #[test]
    fn reads_fit_the_cache_between_bounds() {
        for (cache, expected) in [
            (None, RELAY_BUFFER),
            (Some(0), RELAY_BUFFER),
            (Some(256 * 1024), RELAY_BUFFER),
            (Some(512 * 1024), RELAY_BUFFER),
            (Some(1024 * 1024), 2 * RELAY_BUFFER),
            (Some(1280 * 1024), 2 * RELAY_BUFFER),
            (Some(2048 * 1024), RELAY_BUSY),
            (Some(usize::MAX), RELAY_BUSY),
        ] {
            assert_eq!(fitting(cache), expected, "{cache:?}");
        }
    }

    #[test]
    fn the_size_is_read_from_the_files_of_the_kernel() {
        for (size, expected) in [
            ("512K\n", Some(512 * 1024)),
            ("2M\n", Some(2 * 1024 * 1024)),
            ("2048\n", None),
            ("K\n", None),
            ("\n", None),
            ("99999999999999999999K\n", None),
        ] {
            let folder = tempfile::tempdir().unwrap();
            for (index, level, size) in
                [(0, "1\n", "48K\n"), (1, "1\n", "32K\n"), (2, "2\n", size), (3, "3\n", "32M\n")]
            {
                let cache = folder.path().join(format!("index{index}"));
                fs::create_dir(&cache).unwrap();
                fs::write(cache.join("level"), level).unwrap();
                fs::write(cache.join("size"), size).unwrap();
            }
            assert_eq!(second_level_cache(folder.path()), expected, "{size:?}");
        }
        assert_eq!(second_level_cache(tempfile::tempdir().unwrap().path()), None);
    }
}
