# Makes what packages' scripts would generate and programs do not work without, in the folder $1, which
# is seen as the system, too.
for folder in "$1"/usr/lib/*/graphviz; do
    [ ! -d "$folder" ] || GVBINDIR="$folder" dot -c || :
done
