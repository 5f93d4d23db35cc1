//! Tests every way of replacing a file, and events that do not change one.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{ChangedFiles, FileWatch, WatchedFiles, folders};

fn certificates(paths: &[&Path]) -> WatchedFiles {
    WatchedFiles { certificates: paths.iter().map(|path| path.to_path_buf()).collect(), configuration: None }
}

async fn next(watch: &mut FileWatch) -> ChangedFiles {
    tokio::time::timeout(Duration::from_secs(20), watch.changed()).await.expect("a change")
}

/// A time after which no file was changed.
fn later() -> SystemTime {
    SystemTime::now() + Duration::from_secs(60)
}

/// Replaces a file by renaming another over it, as careful programs do.
fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, path).unwrap();
}

#[tokio::test]
async fn in_place_by_rename_and_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.pem");
    fs::write(&path, "1").unwrap();
    let mut watch = FileWatch::start(certificates(&[&path]), later());
    fs::write(&path, "2").unwrap();
    assert_eq!(next(&mut watch).await, ChangedFiles::Certificates);
    replace(&path, "3");
    assert_eq!(next(&mut watch).await, ChangedFiles::Certificates);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "4").unwrap();
    assert_eq!(next(&mut watch).await, ChangedFiles::Certificates);
    fs::remove_dir_all(folder.path()).unwrap();
    fs::create_dir(folder.path()).unwrap();
    fs::write(&path, "5").unwrap();
    assert_eq!(next(&mut watch).await, ChangedFiles::Certificates);
}

#[tokio::test]
async fn by_the_swap_of_a_link_as_kubernetes_does() {
    let folder = tempfile::tempdir().unwrap();
    let version = |name: &str, text: &str| {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("tls.pem"), text).unwrap();
    };
    version("..1", "1");
    symlink("..1", folder.path().join("..data")).unwrap();
    let path = folder.path().join("tls.pem");
    symlink("..data/tls.pem", &path).unwrap();
    let mut watch = FileWatch::start(certificates(&[&path]), later());
    for (name, before) in [("..2", "..1"), ("..3", "..2")] {
        version(name, name);
        symlink(name, folder.path().join("..data_tmp")).unwrap();
        fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
        fs::remove_dir_all(folder.path().join(before)).unwrap();
        assert_eq!(next(&mut watch).await, ChangedFiles::Certificates);
    }
    let real = |path: PathBuf| path.canonicalize().unwrap();
    let all: Vec<_> = folders(&path).into_iter().map(real).collect();
    assert_eq!(all, [real(folder.path().into()), real(folder.path().join("..3"))]);
}

/// Rewriting the same content is no change; only the next different content is reported.
#[tokio::test]
async fn what_does_not_change_is_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let (path, configuration) = (folder.path().join("a.pem"), folder.path().join("b.conf"));
    fs::write(&path, "1").unwrap();
    fs::write(&configuration, "1").unwrap();
    let files = WatchedFiles { configuration: Some(configuration.clone()), ..certificates(&[&path]) };
    let mut watch = FileWatch::start(files, later());
    replace(&path, "1");
    fs::write(folder.path().join("unrelated"), "2").unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&configuration, "2").unwrap();
    assert_eq!(next(&mut watch).await, ChangedFiles::Configuration);
    fs::write(&path, "1").unwrap();
    fs::write(&configuration, "3").unwrap();
    assert_eq!(next(&mut watch).await, ChangedFiles::Configuration);
    fs::write(&path, "2").unwrap();
    assert_eq!(next(&mut watch).await, ChangedFiles::Certificates);
}

#[tokio::test]
async fn without_events_files_are_looked_at_from_time_to_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pem");
    fs::write(&path, "1").unwrap();
    let mut watch = FileWatch::start(certificates(&[&path]), later());
    (watch.watcher, watch.recheck) = (None, Duration::from_millis(20));
    fs::write(&path, "2").unwrap();
    assert_eq!(next(&mut watch).await, ChangedFiles::Certificates);
}

/// A change between reading the file and starting the watch is reported too.
#[tokio::test]
async fn what_changed_before_the_watch_began_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pem");
    let read_at = SystemTime::now();
    fs::write(&path, "written since").unwrap();
    let mut watch = FileWatch::start(certificates(&[&path]), read_at - Duration::from_millis(100));
    assert_eq!(next(&mut watch).await, ChangedFiles::Certificates);
}
