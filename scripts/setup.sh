#!/usr/bin/env bash
# Installs what the demo and the tests need and this machine lacks: erofs-utils, a Python
# environment with boto3, the JavaScript SDK, and a browser. Running it again does nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\033[2m· %s\033[0m\n' "$*"; }

need() { # need COMMAND PACKAGE
	command -v "$1" >/dev/null && return
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "$1 is missing: install the package $2" >&2
		exit 1
	fi
	say "installing $2"
	apt-get install -y -qq "$2" >/dev/null 2>&1 || { apt-get update -qq && apt-get install -y -qq "$2" >/dev/null; }
}
need go golang
need python3 python3
need mkfs.erofs erofs-utils
need skopeo skopeo # the tests push with it
need /usr/bin/aws awscli # Debian's is version 2; PyPI's cannot tail logs

# The clients that the tests use: pinned, so that a new release cannot break an old commit.
venv=.cache/venv
stamp=$(sha256sum compat/requirements.txt | cut -c1-16)
if [ ! -e "$venv/.done-$stamp" ]; then
	say "installing boto3 and the AgentCore Python SDK into $venv"
	python3 -m venv "$venv"
	"$venv/bin/pip" install -q -r compat/requirements.txt
	touch "$venv/.done-$stamp"
fi
packages() { # packages DIR WHAT: what npm installs into compat/DIR
	local stamp
	stamp=$(sha256sum "compat/$1/package-lock.json" | cut -c1-16)
	[ ! -e "compat/$1/node_modules/.done-$stamp" ] || return 0
	say "installing $2"
	(cd "compat/$1" && npm ci --silent)
	touch "compat/$1/node_modules/.done-$stamp"
}
if [ "${MOORAGE_SETUP:-all}" = all ] && command -v npm >/dev/null; then
	packages js "the AWS SDK for JavaScript"
	packages browser "the browser's driver"
	packages ../examples/typescript "what the TypeScript example is built with"
	need chromium chromium
fi

# The toolkits whose queries are conformance tests: their packages alone, to be read.
toolkits=.cache/toolkits
if [ "${MOORAGE_SETUP:-all}" = all ] && [ ! -e "$toolkits/.done-1" ]; then
	say "fetching the AgentCore toolkits, whose queries are tests"
	mkdir -p "$toolkits"
	"$venv/bin/pip" download -q --no-deps --dest "$toolkits" bedrock-agentcore-starter-toolkit==0.3.14
	! command -v npm >/dev/null || npm pack --silent --pack-destination "$toolkits" @aws/agentcore@0.30.0 >/dev/null
	touch "$toolkits/.done-1"
fi
