# Clones a submodule of the repository $1 from a mirror. $2: its name; $3: its path; $4: the
# mirror; $5: the URL that is its origin.
name=$2 path=$3 mirror=$4 url=$5
cd -- "$1"
git config "submodule.$name.url" "$mirror"
git config "submodule.$name.active" true
git submodule --quiet update --init --checkout -- "$path"
git config "submodule.$name.url" "$url"
cd -- "$path"
git remote set-url origin "$url"
git config --blob HEAD:.gitmodules --null --get-regexp '^submodule\..*\.(path|url)$' \
	>"$HOME/modules" 2>/dev/null || :
git ls-files --stage -z | grep -a -z '^160000 ' >"$HOME/links" || :
