#!/bin/sh
# The command `vllm-gateway` of the image. It runs the program as the user `gateway` where that user may use the Docker
# socket, else as root, and says so. Commands in a running container (docker exec) thus run as the gateway itself does.
#
# Of root's rights the user keeps one, CAP_DAC_OVERRIDE: engines run as root in their containers, so that their sockets and
# the files in the Hugging Face cache are root's.
set -eu

PROGRAM=/opt/vllm-gateway/bin/vllm-gateway.mjs
USER_NAME=gateway
STATE_DIRECTORY="${XDG_STATE_HOME:-/var/lib}/vllm-gateway"

say() {
  echo "vllm-gateway: $1" >&2
}

# The state directory belongs to whoever runs the gateway, also after that has changed.
own_state() {
  mkdir -p "$STATE_DIRECTORY"
  [ "$(stat -c %u "$STATE_DIRECTORY")" = "$1" ] || chown -R "$1:$2" "$STATE_DIRECTORY"
}

# The group of the Docker socket; nothing where Docker is reached otherwise or not at all.
socket_group() {
  address="${DOCKER_HOST:-unix:///var/run/docker.sock}"
  path="${address#unix://}"
  if [ "$path" != "$address" ] && [ -S "$path" ]; then stat -L -c %g "$path"; fi
}

if [ "$(id -u)" != 0 ]; then
  exec "$PROGRAM" "$@"
fi

group="$(socket_group)"
if [ "$group" = 0 ]; then
  say "the Docker socket belongs to the group root; running as root"
  own_state 0 0
  exec "$PROGRAM" "$@"
fi

groups=--clear-groups
[ -z "$group" ] || groups="--groups=$group"
# Tried first: a container without these rights, or one in a user namespace, cannot change its user.
for rights in "--inh-caps=+dac_override --ambient-caps=+dac_override" ""; do
  # shellcheck disable=SC2086 # Words on purpose.
  setpriv --reuid=$USER_NAME --regid=$USER_NAME $groups $rights -- true 2> /dev/null || continue
  [ -n "$rights" ] || say "without CAP_DAC_OVERRIDE the cache and engines' sockets must be open to the user $USER_NAME"
  own_state "$(id -u $USER_NAME)" "$(id -g $USER_NAME)"
  HOME="$(getent passwd $USER_NAME | cut -d : -f 6)"
  export HOME
  # shellcheck disable=SC2086
  exec setpriv --reuid=$USER_NAME --regid=$USER_NAME $groups $rights -- "$PROGRAM" "$@"
done

say "this container may not change its user; running as root"
own_state 0 0
exec "$PROGRAM" "$@"
