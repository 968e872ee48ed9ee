# Sourced by demo.sh and tests/run.sh after they set ROOT: makes ROOT/.venv and sets PYTHON to its interpreter.
# Installs only when pyproject.toml has changed since the last time, or the checkout has moved.

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# Succeeds when "$1" is a Python that runs and is new enough.
is_python() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# Prints the first Python >= 3.11 on PATH.
find_python() {
    for name in python3 python python3.14 python3.13 python3.12 python3.11; do
        if is_python "$name"; then
            command -v "$name"
            return 0
        fi
    done
    return 1
}

make_venv() {
    base=$(find_python) || fail "no Python 3.11 or newer on PATH: install one (Debian, Ubuntu: apt install python3 python3-venv)"
    version=$("$base" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$base" -c 'import venv, ensurepip' >/dev/null 2>&1 ||
        fail "Python $version has no venv module: install it (Debian, Ubuntu: apt install python$version-venv)"
    printf 'making %s with Python %s\n' "$ROOT/.venv" "$version" >&2
    rm -rf "$ROOT/.venv"
    "$base" -m venv "$ROOT/.venv" || fail "python -m venv $ROOT/.venv failed, see above"
}

PYTHON=$ROOT/.venv/bin/python
is_python "$PYTHON" || make_venv

stamp=$ROOT/.venv/.installed
wanted="$(cksum <"$ROOT/pyproject.toml") $ROOT"
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
    printf 'installing into %s (PyTorch is large: a few minutes the first time)\n' "$ROOT/.venv" >&2
    # One call, so that pip chooses torch and torchvision together and by the bounds in pyproject.toml.
    (cd "$ROOT" && "$PYTHON" -m pip install --quiet --no-input --disable-pip-version-check -e '.[dev]' </dev/null >&2) ||
        fail "pip could not install propagate, see above"
    printf '%s\n' "$wanted" >"$stamp"
fi
