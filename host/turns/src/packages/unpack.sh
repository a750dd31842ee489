# Unpacks the packages that apt has downloaded below $1 into the folder $2.
for package in "$1"/cache/archives/*.deb; do
    [ -e "$package" ] || continue
    echo "unpacking ${package##*/}"
    dpkg-deb --extract "$package" "$2"
done

# Alternatives that their scripts would make, as far as those say it in so many words, or in a loop over
# words: a line with the priority, the name, and the target for each, also for those that come along.
alternatives() {
    for package in "$1"/cache/archives/*.deb; do
        [ -e "$package" ] || continue
        dpkg-deb --ctrl-tarfile "$package" | tar --extract --to-stdout ./postinst 2>/dev/null |
            sed -e ':a' -e '/\\$/ { N; s/\\\n//; ba' -e '}' |
            awk '
                function tell(line,   words, count, at, priority) {
                    count = line ~ /\$/ ? 0 : split(line, words)
                    for (at = 1; at <= count; at++) {
                        if (words[at] == "--install") priority = words[at + 4]
                        if (words[at] ~ /^--(install|slave)$/) print priority, words[at + 1], words[at + 3]
                    }
                }
                match($0, /^[ \t]*for [a-zA-Z_]+ in [^$`*]*; *do/) {
                    list = substr($0, RSTART, RLENGTH)
                    sub(/; *do$/, "", list)
                    count = split(list, loop)
                }
                /^[ \t]*done/ { count = 0 }
                /update-alternatives.*--install/ {
                    tell($0)
                    for (at = 4; at <= count; at++) {
                        line = $0
                        gsub("[$][{]?" loop[2] "[}]?", loop[at], line)
                        if (line != $0) tell(line)
                    }
                }' || :
    done | sort -k 1,1nr
}
alternatives "$1" >"$2/alternatives"
cd "$2"

# What a package has beside /usr goes where the system has it.
for name in bin sbin lib lib32 lib64 libx32; do
    if [ -L "/$name" ] && [ -d "$name" ] && [ ! -L "$name" ]; then
        mkdir -p "usr/$name"
        cp -a "$name/." "usr/$name/"
        rm -rf "./$name"
    fi
done

# Gives a file the name $1 below usr, with the target $2, where nothing has that name.
name() {
    if [ ! -e "usr/$1" ] && [ ! -L "usr/$1" ] && [ ! -e "/usr/$1" ]; then
        mkdir -p "usr/${1%/*}"
        ln -s "$2" "usr/$1"
    fi
}

# The names of programs and libraries that others rely on and that packages' scripts would make, as
# alternatives.
for pair in cc:gcc c++:g++ vim:vim.basic vim:vim.nox vim:vim.tiny vi:vim.basic vi:vim.tiny \
    nc:nc.openbsd nc:nc.traditional; do
    if [ -e "usr/bin/${pair#*:}" ]; then
        name "bin/${pair%%:*}" "${pair#*:}"
    fi
done
for program in usr/bin/php[0-9]*.[0-9]*; do
    if [ -e "$program" ]; then
        name bin/php "${program##*/}"
    fi
done
# Modules of PHP, which their scripts enable.
for module in usr/share/php[0-9]*-*/*/*.ini; do
    [ -e "$module" ] || continue
    version="${module#usr/share/php}"
    folder="etc/php/${version%%-*}" module_name="${module##*/}"
    priority="$(sed -n 's/^; *priority=\([0-9]*\).*/\1/p' "$module" | head -n 1)"
    mkdir -p "$folder/mods-available" "$folder/cli/conf.d"
    cp "$module" "$folder/mods-available/$module_name"
    ln -sfn "../../mods-available/$module_name" "$folder/cli/conf.d/${priority:-20}-$module_name"
done
for program in usr/lib/jvm/java-*/bin/*; do
    if [ -e "$program" ]; then
        name "bin/${program##*/}" "../${program#usr/}"
    fi
done
for library in usr/lib/*/blas/lib*.so.3 usr/lib/*/lapack/lib*.so.3 usr/lib/*/openblas*/lib*.so.3; do
    if [ -e "$library" ]; then
        folder="${library%/*}"
        name "${folder#usr/}/../${library##*/}" "${folder##*/}/${library##*/}"
    fi
done

while read -r _ link target; do
    case "$link" in
    /usr/*) [ ! -e ".$target" ] || name "${link#/usr/}" "$target" ;;
    esac
done <alternatives
rm alternatives

find . -type f -perm /6000 -exec chmod a-s {} +
find . -type d ! -perm -0700 -exec chmod u+rwx {} +
