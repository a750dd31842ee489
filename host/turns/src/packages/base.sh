# Copies what packages' scripts may know of the host's /etc and /var, which are seen below $1, to the
# folder $2: what everybody on the host can read, and the state of dpkg and its helpers.
copy() {
    mkdir -p "$2"
    (
        cd "$1"
        find . -type d ! -perm -0005 -prune -exec mkdir -p "$2/{}" \; -o \
            \( -type d -o -type l -o -type f -perm -0004 \) -print0 |
            tar --create --null --no-recursion --files-from=-
    ) | tar --extract --preserve-permissions --directory="$2"
}
copy "$1/etc" "$2/etc"
mkdir -p "$2/var"
[ ! -d "$1/var" ] || cp -R --no-dereference --preserve=mode,timestamps "$1/var/." "$2/var"
cd "$2"
chmod -R u+rwX .
chmod 0755 var
[ ! -d var/lib ] || chmod 0755 var/lib var/lib/*

# Accounts of programs, and none of people, nor any password.
for name in passwd group shadow gshadow; do
    rm -f "etc/$name" "etc/$name-"
done
awk -F: '$3 < 1000 || $3 == 65534' "$1/etc/passwd" >etc/passwd
awk -F: -v OFS=: '$3 < 1000 || $3 == 65534 { $4 = ""; print }' "$1/etc/group" >etc/group
awk -F: '{ print $1 ":*:19000:0:99999:7:::" }' etc/passwd >etc/shadow
awk -F: '{ print $1 ":*::" }' etc/group >etc/gshadow
chmod 0640 etc/shadow etc/gshadow

mkdir -p var/cache/debconf var/lib/apt/lists/partial var/lib/dpkg var/lib/misc var/local var/log/apt \
    var/mail var/opt var/spool var/tmp
chmod 1777 var/tmp
ln -sfn /run var/run
ln -sfn /run/lock var/lock
