#!/usr/bin/env bash
# Makes what the gateway says to room systems (crates/gateway/prompts/) again, out of the texts below:
# spoken by espeak-ng, in Russian and then in English, kept in G.722 without a container. The result is
# kept in the repository, so that neither building nor running needs these tools; what a synthesiser
# under the GPL speaks is not under the GPL.
#
# Needs espeak-ng and ffmpeg (Debian: apt-get install espeak-ng ffmpeg).
set -euo pipefail
cd "$(dirname "$0")/.."
folder=crates/gateway/prompts
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$folder"

# say NAME RUSSIAN ENGLISH
say() {
    espeak-ng -v ru -s 150 -w "$work/ru.wav" "$2"
    espeak-ng -v en -s 150 -w "$work/en.wav" "$3"
    # A breath between the two, and as loud as people are.
    ffmpeg -nostdin -loglevel error -y -i "$work/ru.wav" -i "$work/en.wav" -filter_complex \
        '[0:a]apad=pad_dur=0.4[ru];[ru][1:a]concat=n=2:v=0:a=1,loudnorm=I=-23:TP=-3,aresample=16000[out]' \
        -map '[out]' -ac 1 -ar 16000 -c:a g722 -f g722 "$folder/$1.g722"
}

say number 'Введите номер встречи и нажмите решётку.' 'Please enter the meeting number, and press hash.'
say unknown 'Такой встречи нет.' 'There is no such meeting.'
say pin 'Введите пин-код и нажмите решётку.' 'Please enter the PIN, and press hash.'
say wrong 'Неверный пин-код.' 'This PIN is wrong.'
say lobby 'Подождите, организатор вас впустит.' 'Please wait. The host will let you in.'
say refused 'Организатор вас не впустил.' 'The host did not let you in.'
