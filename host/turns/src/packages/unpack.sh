# Unpacks the packages that apt has downloaded below $1 into the folder $2.
for package in "$1"/cache/archives/*.deb; do
    [ -e "$package" ] || continue
    echo "unpacking ${package##*/}"
    dpkg-deb --extract "$package" "$2"
done
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

find . -type f -perm /6000 -exec chmod a-s {} +
find . -type d ! -perm -0700 -exec chmod u+rwx {} +
