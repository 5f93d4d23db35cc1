#!/usr/bin/env bash
# Does what docs/src/how-to/install.md says in an empty Debian 12 in which systemd runs: installs the package, configures
# it, puts it before a mongod 4.4, then upgrades, removes and purges it, and looks for what is left.
#
#   tests/package.sh [PACKAGE.deb]       without a package, deploy/debian/build makes one
#
# Needs root, debootstrap, openssl, and the mongod that the tests have fetched into target/parts. The Debian has namespaces of
# its own; nothing but target/package changes, where the downloaded Debian is kept for the next run.
set -euo pipefail
shopt -s inherit_errexit
here=$(cd "$(dirname "$0")/.." && pwd)
work=$here/target/package
base=$work/base root=$work/root
page=$here/docs/src/how-to/install.md
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}

fail() { printf 'package.sh: %s\n' "$*" >&2; exit 1; }
step() { printf '\n== %s\n' "$*"; }
# Runs a command line in the Debian.
inside() { nsenter --target "$init" --mount --uts --ipc --net --pid --cgroup -- /bin/bash -c "cd /root && $1"; }
# The paths of the Debian, without those that change by themselves.
paths() {
    inside "find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /root \
        -o -path /var/log -o -path /var/cache -o -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/lib/mongodb \
        -o -path /var/tmp \) -prune -o -print" | sort
}

[ "$(id -u)" = 0 ] || fail "needs root"
mkdir -p "$work"
if [ $# = 0 ]; then
    "$here/deploy/debian/build"
    set -- "$here"/target/debian/tlsramp_*.deb
    [ $# = 1 ] || fail "name the package: there are $*"
fi
package=$1
version=$(dpkg-deb --field "$package" Version)

step "an empty Debian"
if [ ! -e "$base" ]; then
    rm -rf "$base.new"
    # With what the package depends on, because there is no network inside, and with the libraries of mongod.
    debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,procps,curl,openssl bookworm "$base.new" "$mirror"
    mv "$base.new" "$base"
fi
rm -rf "$root"
cp -a --reflink=auto "$base" "$root"
mkdir -p "$root/opt/parts" "$root/var/lib/mongodb"
for part in mongod-4.4.2 debian-11-libraries-1; do
    [ -e "$here/target/parts/$part" ] || fail "no $here/target/parts/$part; a test that uses mongod 4.4 fetches it"
    cp -a "$here/target/parts/$part" "$root/opt/parts/"
done
printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
# As MongoDB's own package has them.
printf 'storage:\n  dbPath: /var/lib/mongodb\nnet:\n  port: 27017\n  bindIp: 127.0.0.1\n' >"$root/etc/mongod.conf"
printf '[Service]\nExecStart=/opt/parts/mongod-4.4.2/bin/mongod --config /etc/mongod.conf\n' \
    >"$root/etc/systemd/system/mongod.service"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj '/CN=Test CA' \
    -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$work/ca.key" -out "$root/root/ca.pem" 2>/dev/null
for name in server client; do
    openssl req -x509 -CA "$root/root/ca.pem" -CAkey "$work/ca.key" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
        -days 365 -subj "/CN=$name" -addext basicConstraints=critical,CA:FALSE \
        -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$root/root/$name.pem" -out "$work/$name.crt" 2>/dev/null
    cat "$work/$name.crt" >>"$root/root/$name.pem"
done
cp "$package" "$root/root/tlsramp_${version}_amd64.deb"
# The next version, which differs in nothing else.
rm -rf "$work/next"
dpkg-deb --raw-extract "$package" "$work/next"
sed -i "s/^Version: .*/Version: $version+next/" "$work/next/DEBIAN/control"
dpkg-deb --build --root-owner-group -Zgzip -z1 "$work/next" "$root/root/next.deb" >/dev/null

step "systemd"
# Its control groups are of version 2, which a namespace keeps within this one.
group=$(findmnt --noheadings --first-only --types cgroup2 --output TARGET)/tlsramp-package-$$
mkdir "$group"
(
    echo "$BASHPID" >"$group/cgroup.procs"
    exec unshare --mount --uts --ipc --net --pid --cgroup --fork --kill-child --propagation private \
        bash "$here/tests/package-init.sh" "$root"
) >"$work/systemd.log" 2>&1 &
outer=$!
stop() {
    kill -KILL "$outer" 2>/dev/null || true
    wait "$outer" 2>/dev/null || true
    for _ in $(seq 50); do
        find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break
        sleep 0.1
    done
}
trap stop EXIT
init=""
for _ in $(seq 300); do
    init=$(pgrep --parent "$outer" || true)
    if [ -n "$init" ] && inside "systemctl is-system-running" 2>/dev/null | grep -qE '^(running|degraded)$'; then break; fi
    sleep 0.1
done
inside "systemctl is-system-running" | grep -qE '^(running|degraded)$' || fail "systemd does not run: see $work/systemd.log"
inside "systemctl start mongod"
before=$(paths)

step "the commands of ${page#"$here"/}"
mapfile -t commands < <(awk '/^## Debian package/ {on = 1} on && /^```$/ {exit} on && /^\$ / {print substr($0, 3)}' "$page")
case ${#commands[@]} in [1-6]) ;; *) fail "${#commands[@]} commands in $page" ;; esac
began=$(date +%s.%N)
for command in "${commands[@]}"; do
    printf '# %s\n' "$command"
    inside "$command" || fail "failed: $command"
done
printf '%s commands in %.1f s\n' "${#commands[@]}" "$(echo "$(date +%s.%N) - $began" | bc)"

step "what runs"
admin="--admin unix:/run/tlsramp/admin.sock"
for _ in $(seq 120); do
    # mongod's unit does not say when it listens.
    inside "tlsramp ctl $admin status" >"$work/status.log"
    grep -q '^warning: ' "$work/status.log" || break
    sleep 1
done
cat "$work/status.log"
grep -q '^Server .* PRIMARY\|^Server .* up' "$work/status.log" || fail "the server is not up"
if grep '^warning: ' "$work/status.log"; then fail "the status has warnings"; fi
inside "runuser -u tlsramp -- tlsramp check --config /etc/tlsramp/tlsramp.conf" >"$work/check.log" || fail "see $work/check.log"
inside "tlsramp ctl $admin doctor" || fail "the doctor finds a fault"
inside "systemctl show --property=User,ActiveState,SubState,NRestarts,StatusText tlsramp"
main=$(inside "systemctl show --property=MainPID --value tlsramp")
[ "$(inside "stat --format=%U /proc/$main")" = tlsramp ] || fail "tlsramp runs as another user"
inside "grep Cap /proc/$main/status"
inside "grep -q '^CapEff:.*0000000000000000$' /proc/$main/status" || fail "it has capabilities"
tls="openssl s_client -connect localhost:27017 -verify_hostname localhost -verify_return_error -CAfile ca.pem -cert client.pem"
inside "$tls </dev/null" >"$work/tls.log" 2>&1 || fail "TLS does not work: see $work/tls.log"
inside "tlsramp load ping --target localhost:27017 --mix 50 --connections 4 --duration 2s --warmUp 0s --tlsCAFile ca.pem \
    --tlsCertificateKeyFile client.pem" || fail "clients with and without TLS do not work"
inside "systemctl reload tlsramp && systemctl is-active --quiet tlsramp" || fail "the reload failed"
inside "test -e /usr/share/man/man1/tlsramp-ctl-mode.1.gz -a -e /usr/share/bash-completion/completions/tlsramp" ||
    fail "no man pages or completions"
inside "tlsramp --version"

step "upgrade"
# New connections come all the time; of each, the latency includes a wait for a process that accepts it.
connects="tlsramp load connect --target localhost:27017 --mix 50 --connections 8 --rate 200 --warmUp 0s --tlsCAFile ca.pem \
    --tlsCertificateKeyFile client.pem"
inside "echo '# ours' >>/etc/tlsramp/tlsramp.conf && tlsramp ctl $admin mode preferSSL"
inside "$connects --duration 12s" >"$work/connects.log" 2>&1 &
load=$!
inside "apt-get install -y ./next.deb"
now=$(inside "systemctl show --property=MainPID --value tlsramp")
[ "$now" != "$main" ] || fail "the old process goes on"
wait "$load" || fail "a client has noticed the upgrade: see $work/connects.log"
cat "$work/connects.log"
inside "systemctl is-active tlsramp && tail -1 /etc/tlsramp/tlsramp.conf | grep -q ours" || fail "the upgrade lost something"
[ "$(inside "tlsramp ctl $admin mode")" = preferSSL ] || fail "the mode is lost"
[ "$(inside "systemctl show --property=NRestarts --value tlsramp")" = 0 ] || fail "the service was restarted"

step "an upgrade to what cannot start"
inside "cp /etc/tlsramp/tlsramp.conf keep.conf && echo 'nonsense: 1' >>/etc/tlsramp/tlsramp.conf"
inside "apt-get install -y --reinstall ./next.deb" 2>&1 | tee "$work/refused.log"
grep -q "has not replaced the running process" "$work/refused.log" || fail "the refusal is not shown"
[ "$(inside "systemctl show --property=MainPID --value tlsramp")" = "$now" ] || fail "the running process is gone"
inside "cp keep.conf /etc/tlsramp/tlsramp.conf && systemctl kill --kill-who=main --signal=USR2 tlsramp && sleep 2"
[ "$(inside "systemctl show --property=MainPID --value tlsramp")" != "$now" ] || fail "not replaced after the correction"
inside "$connects --duration 1s" || fail "it does not serve"

step "an upgrade without a takeover socket"
inside "sed -i /takeover:/d /etc/tlsramp/tlsramp.conf && systemctl restart tlsramp"
main=$(inside "systemctl show --property=MainPID --value tlsramp")
inside "apt-get install -y --reinstall ./next.deb"
[ "$(inside "systemctl show --property=MainPID --value tlsramp")" != "$main" ] || fail "the old process goes on"
inside "systemctl is-active tlsramp && $connects --duration 1s" || fail "it does not serve"
inside "journalctl --unit=tlsramp" >"$work/journal.log"
if grep "code=killed" "$work/journal.log"; then fail "systemd has killed a process instead of waiting for its drain"; fi

step "remove"
inside "apt-get remove -y tlsramp"
inside "! systemctl is-active --quiet tlsramp && test -e /etc/tlsramp/tlsramp.conf -a -e /var/lib/tlsramp/state.json" ||
    fail "a removal stops the service, and keeps configuration and state"
inside "test ! -e /usr/bin/tlsramp -a ! -e /run/tlsramp" || fail "a removal leaves the program"

step "purge"
inside "apt-get purge -y tlsramp"
left=$(comm -13 <(echo "$before") <(paths))
gone=$(comm -23 <(echo "$before") <(paths))
echo "left: ${left//$'\n'/ }"
[ -z "$gone" ] || fail "it took what was not its own: $gone"
# The administrator's certificates, and what systemd-sysusers wrote beside /etc/passwd.
expected=$'/etc/tlsramp\n/etc/tlsramp/ca.pem\n/etc/tlsramp/server.pem'
[ "$(grep -vxE '/etc/\.pwd\.lock|/etc/(passwd|group|shadow|gshadow)-' <<<"$left")" = "$expected" ] || fail "leftovers"

step "again, over what is left"
inside "apt-get install -y ./tlsramp_*_amd64.deb && systemctl enable --now tlsramp && tlsramp ctl $admin mode"
inside "apt-get purge -y tlsramp" >/dev/null
printf '\nall is as it should be\n'
