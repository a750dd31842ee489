# Writes to $2/again-names the packages that the host has already, of those in $5... and of all that
# they need, which have files in /etc that sandboxes are not shown: such packages do not work without
# them. $1 are apt's settings, $3 is the host's list of packages, and $4 the folder with the lists of
# their files.
settings="$1" folder="$2" status="$3" info="$4"
shift 4
for name; do
    printf '%s\n' "${name%%[=/]*}"
done >"$folder/names"
# Names that apt does not know are told when they are to be downloaded.
xargs apt-cache --config-file "$settings" --recurse --important depends <"$folder/names" \
    2>"$folder/unknown" | sed -n 's/^\([a-z0-9][a-z0-9.+-]*\).*/\1/p' | sort -u >"$folder/needed" || :
# Without those of the base system, which sandboxes have as it is.
awk '/^Package: / { name = $2 } /^Essential: yes|^Priority: (required|important)$/ { print name }' \
    "$status" | sort -u >"$folder/base"
comm -23 "$folder/needed" "$folder/base" | while read -r name; do
    for list in "$info/$name.list" "$info/$name":*.list; do
        [ -f "$list" ] || continue
        # What is for services, shells and accounts is not missed.
        grep '^/etc/' "$list" | grep -vE '^/etc/(apparmor|bash_completion|cron|default|init|logcheck|logrotate|pam|ppp|rc|security|sysctl|systemd|udev|ufw)' |
            while read -r path; do
                if [ ! -e "$path" ]; then
                    echo "$name"
                    break
                fi
            done
    done
done | sort -u >"$folder/again-names"
