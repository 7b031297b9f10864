# shellcheck shell=bash
# What the shell scripts of ci/ share. Source it; it only sets variables and functions.

CHECKOUT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
: "${HOME:=/root}"
CACHE=$(realpath -m "${ENOKI_CACHE:-$HOME/.cache/enoki}")
INSIDE_MARK=/etc/enoki-root # exists only inside a build root
# chroot is in sbin, which ordinary users do not have in their PATH.
PATH=$PATH:/usr/sbin:/sbin
export CHECKOUT CACHE INSIDE_MARK PATH

say() { printf '%s\n' "enoki: $*" >&2; }
die() {
	say "$*"
	exit 1
}

# Neither Kbuild nor QEMU's options survive other characters.
for dir in "$CHECKOUT" "$CACHE"; do
	case $dir in
	*[!A-Za-z0-9_+/.-]*) die "the path $dir has characters that kernel builds cannot take: use one of letters, digits and _+.-/" ;;
	esac
done

# The package list without comments, sorted: what a root is made of.
packages() { sed 's/#.*//; s/[[:space:]]//g; /^$/d' "$CHECKOUT/ci/packages.txt" | LC_ALL=C sort -u; }

# Runs as root of a user namespace when the caller is an ordinary user.
as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		unshare --user --map-auto --map-root-user --mount -- "$@"
	fi
}

# Ordinary users need sub-uids and user namespaces; says what is missing, once, in words.
need_user_namespaces() {
	[ "$(id -u)" = 0 ] && return
	command -v newuidmap >/dev/null ||
		die "an ordinary user needs newuidmap: install the package uidmap (apt-get install uidmap), or run as root"
	[ "$(cat /etc/subuid /etc/subgid 2>/dev/null | grep -c "^$(id -un):")" -ge 2 ] ||
		die "user $(id -un) has no range in /etc/subuid and /etc/subgid: add one (usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un)), or run as root"
	unshare --user --map-auto --map-root-user -- true 2>/dev/null ||
		die "this kernel does not let user $(id -un) make a user namespace: set kernel.unprivileged_userns_clone=1 (or kernel.apparmor_restrict_unprivileged_userns=0), or run as root"
}
