# What the repository $1 has that its commit $2 had not: commits, changes and new files. The
# repository is not written to.
cd -- "$1"
objects=$(cd -- "$(git rev-parse --git-path objects)" && pwd)
index=$(git rev-parse --git-path index)
git rev-parse --verify --quiet 'HEAD^{commit}' >"$HOME/head" || :
[ ! -f "$index" ] || cp -- "$index" "$HOME/index"
mkdir "$HOME/objects"
# From here on without the repository's own settings, which may name programs: filters, say, that
# are run for every file.
git init --quiet --bare --template= --object-format="$(git rev-parse --show-object-format)" "$HOME/git"
# This one is no program of the repository's, and without it all files in Git LFS would seem changed.
! command -v git-lfs >/dev/null || git config --file "$HOME/git/config" filter.lfs.clean 'git-lfs clean -- %f'
export GIT_DIR="$HOME/git" GIT_WORK_TREE="$PWD"
export GIT_INDEX_FILE="$HOME/index" GIT_OBJECT_DIRECTORY="$HOME/objects" GIT_OPTIONAL_LOCKS=0
export GIT_ALTERNATE_OBJECT_DIRECTORIES="$objects"
base=$2
case $base in *[!0]*) ;; *) base=$(git hash-object -w -t tree /dev/null) ;; esac
git cat-file -e "$base" || exit 73
# An index that is spread over several files needs the others.
git ls-files >/dev/null 2>&1 || rm -f -- "$HOME/index"
# A file that cannot be read is left out, and all others are not.
git add --all --ignore-errors -- . || :
exec git diff --cached --no-ext-diff --no-textconv --no-color --src-prefix=a/ --dst-prefix=b/ "$base" --
