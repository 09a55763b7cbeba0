#!/usr/bin/env bash
# Makes examples/clip.ivf and clip.ogg anew, which `make demo HOLD=1` sends: colours that drift, a clock that shows that they are
# live, and bells. Both are 8 s and end where they begin. Needs ffmpeg with libvpx, libopus and a font; the demo needs none of them.
set -euo pipefail
cd "$(dirname "$0")/../examples"

# Only whole turns in 8 s.
turn='2*PI*T/8'
hand="hypot(X-160-62*sin($turn),Y-90+62*cos($turn))"
ring='abs(hypot(X-160,Y-90)-62)'
# Upon the drifting colours a dark face with a ring, and where on it the time is.
light="if(lt($hand,9),235,if(lt($ring,1.5),150,if(lt(hypot(X-160,Y-90),62),38,96+34*sin(X/46+$turn)*cos(Y/38-$turn)+22*sin((X+Y)/70+2*$turn))))"
tint="if(lt(hypot(2*X-160,2*Y-90),62),128,128+%s)"
blue="$(printf "$tint" "46*sin(2*X/90-$turn)*cos(2*Y/80+$turn)+14")"
red="$(printf "$tint" "46*cos(2*X/110+2*$turn)*sin(2*Y/70+$turn)")"
clock="%{eif\\:floor(t)\\:d}.%{eif\\:mod(floor(t*10+0.01)\\,10)\\:d}"
picture="color=size=320x180:rate=15:duration=8,format=yuv420p,geq=lum='$light':cb='$blue':cr='$red'"
picture+=",drawtext=font='Sans Bold':text='$clock':fontcolor=white:fontsize=44:x=160-text_w/2:y=90-text_h/2"

# Four bells, each of which rings a whole number of times.
bell() { printf '0.11*sin(2*PI*%s*t)*exp(-2.6*mod(t,%s))*min(1,150*mod(t,%s))' "$1" "$2" "$2"; }
sound="aevalsrc='$(bell 392 2)+$(bell 523.25 1.6)+$(bell 659.26 8/3)+$(bell 880 4)':sample_rate=48000"

quiet=(-hide_banner -loglevel error -y -fflags +bitexact)
# Without frames that are not shown; a key frame each 2 s, for who comes in between.
ffmpeg "${quiet[@]}" -f lavfi -i "$picture" -c:v libvpx -b:v 75k -g 30 -auto-alt-ref 0 -lag-in-frames 0 -quality best \
  -flags +bitexact clip.ivf
# Opus puts 6.5 ms before: so it is 400 packets of 20 ms.
ffmpeg "${quiet[@]}" -f lavfi -i "$sound" -t 7.98 -ac 1 -c:a libopus -b:a 24k -flags +bitexact clip.ogg
ls -l clip.ivf clip.ogg
