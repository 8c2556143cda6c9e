# split-log.awk -- lines of syslogd into files: the kernel's, logins and passwords, the rest.
#
# A line reads "Nov 21 19:19:49 HOST kern.info kernel: TEXT". The kernel's lines carry a time of their
# own, so only TEXT is kept; warnings and worse are in vmkwarning.log too. -v size= bytes of a file, keep= old ones, folder=.
# A file that is there already is continued.

function rotate(name,    i, path) {
    path = folder "/" name
    close(path)
    for (i = keep - 1; i >= 1; i--)
        system("[ ! -e " path "." i " ] || mv " path "." i " " path "." (i + 1))
    system(keep > 0 ? "mv " path " " path ".1" : "rm " path)
    written[name] = 0
}

# Bytes of a file from before this program.
function bytes_of(path,    command, bytes) {
    command = "wc -c <" path " 2>/dev/null"
    command | getline bytes
    close(command)
    return bytes + 0
}

function put(name, text) {
    if (!(name in written))
        written[name] = bytes_of(folder "/" name)
    if (written[name] + length(text) + 1 > size && written[name])
        rotate(name)
    print text >>(folder "/" name)
    fflush(folder "/" name)
    written[name] += length(text) + 1
}

$5 ~ /^kern\./ && match($0, / kernel: /) {
    text = substr($0, RSTART + RLENGTH)
    put("vmkernel.log", text)
    if ($5 !~ /\.(notice|info|debug)$/)
        put("vmkwarning.log", text)
    next
}
$5 ~ /^auth/ { put("auth.log", $0); next }
{ put("syslog.log", $0) }
