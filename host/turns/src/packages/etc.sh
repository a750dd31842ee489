# Takes from the packages below $1 their files in /etc, to the folder $2, where it has none of the name.
for package in "$1"/again/*.deb; do
    [ -e "$package" ] || continue
    echo "taking what ${package##*/} has in /etc"
    dpkg-deb --fsys-tarfile "$package" |
        tar --extract --skip-old-files --no-same-owner --wildcards --directory="$2" './etc/*' || :
done
find "$2" -type d ! -perm -0700 -exec chmod u+rwx {} +
