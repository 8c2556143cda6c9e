#!/bin/sh
# backup.sh save|restore|status -- what was changed below /etc, kept over a restart.
#
#   save      writes the files of /etc that are not as the tardisks have them into
#             /vmfs/volumes/datastore1/.locker/state.tgz, and the names of those that are gone
#   restore   unpacks it over /etc; /etc/init.d/05-state does that before anything else starts
#   status    which files would be saved
#
# state.tgz holds local.tgz, with the files, and removed, with names, one a line. It is written beside
# the old one and then renamed, so a power cut leaves one of the two. One that is damaged is not
# unpacked: it becomes state.tgz.damaged, and /etc stays as the tardisks have it.
#
# status: 0; 1 there is no datastore1, or nothing to restore; 2 usage; 3 it failed
volume=/vmfs/volumes/datastore1
place=$volume/.locker
state=$place/state.tgz
base=/var/run/etc.base
umask 022

say() {
    echo "backup.sh: $2" >&2
    echo "<$1>state: $2" >/dev/kmsg
}

# What is below /etc: lines of a key, two blanks and the name.
list() {
    cd / || exit 3
    find etc -print0 | xargs -0 stat -c '%f:%u:%g  %n'
    find etc -type f -print0 | xargs -0 md5sum
    find etc -type l | while read -r name; do
        echo "$(readlink "$name")  $name"
    done
}

# names_not_in FILE: of the lines of the standard input that FILE does not have, each name once.
names_not_in() {
    awk 'NR == FNR { known[$0] = 1; next }
        !($0 in known) { name = substr($0, index($0, "  ") + 2); if (!seen[name]++) print name }' "$1" -
}

# With each name the folders that lead to it, so that they keep their modes and owners.
folders() {
    awk '{ n = split($0, part, "/"); path = ""
        for (i = 1; i <= n; i++) { path = path part[i]; if (!seen[path]++) print path; path = path "/" } }'
}

save() {
    [ -r $base ] || { say 3 "no $base: this host was not started by /etc/init.d/05-state"; return 3; }
    [ -d $volume ] || { say 6 "no $volume: /etc is not kept"; return 1; }
    list >"$work/now"
    names_not_in $base <"$work/now" >"$work/names"
    sed 's/^[^ ]*  //' "$work/now" >"$work/present"
    sed 's/^[^ ]*  //' $base | sort -u | awk 'NR == FNR { there[$0] = 1; next } !($0 in there)' \
        "$work/present" - >"$work/removed"
    members=removed
    if [ -s "$work/names" ]; then
        folders <"$work/names" >"$work/members"
        if ! mkdir "$work/tree" || ! (cd / && cpio -o -H newc <"$work/members") 2>/dev/null |
            (cd "$work/tree" && cpio -id) 2>/dev/null ||
            ! tar -czf "$work/local.tgz" -C "$work/tree" etc; then
            say 3 "/etc cannot be packed: $(df -h /tmp | tail -n 1)"
            return 3
        fi
        members='removed local.tgz'
    elif [ ! -s "$work/removed" ] && [ ! -e $state ]; then
        return 0
    fi
    # shellcheck disable=SC2086  # a list of words
    if mkdir -p -m 700 $place && (cd "$work" && umask 077 && tar -czf $state.new $members) && gzip -t <$state.new &&
        sync && mv $state.new $state && sync; then
        say 6 "$(wc -l <"$work/names") files of /etc are in $state"
        return 0
    fi
    rm -f $state.new
    say 3 "$state cannot be written: $(df -h $volume | tail -n 1)"
    return 3
}

# Its files and only those, whole, into $work/new; nothing of /etc is touched.
unpack() {
    gzip -t <$state && tar -xzf $state -C "$work" && [ -f "$work/removed" ] || return 1
    mkdir "$work/new" && [ -f "$work/local.tgz" ] || return 0
    gzip -t <"$work/local.tgz" && tar -tzf "$work/local.tgz" >"$work/names" || return 1
    ! grep -qvE '^etc/' "$work/names" && ! grep -qE '(^|/)\.\.(/|$)' "$work/names" &&
        tar -xpzf "$work/local.tgz" -C "$work/new"
}

restore() {
    mkdir -p /var/run
    list >$base
    [ -e $state ] || return 1
    if ! unpack 2>/dev/null; then
        mv $state $state.damaged
        say 4 "$state is damaged: /etc is as in the image. It is $state.damaged now"
        return 3
    fi
    if [ -d "$work/new/etc" ]; then
        (cd "$work/new" && tar -cf - etc) | tar -xpf - -C / || { say 3 "/etc is full"; return 3; }
    fi
    while read -r name; do
        case /$name/ in
        */../*) ;;
        /etc/?*) rm -rf "/${name:?}" ;;
        esac
    done <"$work/removed"
    say 6 "/etc is as $state has it"
}

case ${1-} in
save | restore | status) ;;
--help | -h)
    sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$0"
    exit 0
    ;;
*)
    echo "usage: backup.sh save|restore|status" >&2
    exit 2
    ;;
esac
work=$(mktemp -d) || exit 3
trap 'rm -rf "$work"' EXIT
case $1 in
save) save ;;
restore) restore ;;
status) list | names_not_in $base ;;
esac
