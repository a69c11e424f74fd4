"use strict";
// The player of a training run: density and latents of every look, drawn in the reader's colours, or samples of pictures as they are.
// Without it the page loses only this.
(() => {
  const colours = JSON.parse(document.getElementById("colours").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const SECONDS = 8, LEAST = 5, DOT = 1.6, BINS = 20; // a film lasts so long, or passes so many frames a second

  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const words = (text) => {
    const view = new DataView(bytes(text).buffer);
    return Uint16Array.from({ length: view.byteLength / 2 }, (_, i) => view.getUint16(2 * i, true));
  };
  const theme = () => (dark.matches ? "dark" : "light");

  // A canvas as many pixels wide as the screen shows of it, cleared.
  const ready = (canvas) => {
    const scale = Math.min(devicePixelRatio || 1, 3);
    const side = Math.max(1, Math.round(canvas.clientWidth * scale));
    if (canvas.width !== side) canvas.width = canvas.height = side;
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, side, side);
    return [context, side, scale];
  };

  // Samples of pictures: a canvas of the frame's own pixels, which the style enlarges. Between two looks there is nothing to be seen.
  function pictures(root, film, sprite) {
    const canvas = root.querySelector(".frames"), context = canvas.getContext("2d");
    canvas.width = film.width;
    canvas.height = film.height;
    return (from, to, share) => {
      const frame = share < 0.5 ? from : to;
      const x = (frame % film.across) * film.width, y = Math.floor(frame / film.across) * film.height;
      context.drawImage(sprite, x, y, film.width, film.height, 0, 0, film.width, film.height);
    };
  }

  // Density and latents: between two looks numbers move in straight lines, so that the eye can follow a point.
  function densities(root, film, sprite) {
    const density = root.querySelector(".density"), latents = root.querySelector(".latents");
    const cells = film.cells, at = words(film.latents);
    const size = film.points * film.dims;
    const label = (i) => (film.labels ? film.labels[i] : 0);
    const colour = (i) => { const all = colours.labels[theme()]; return all[i % all.length]; };

    // Densities as one flat array, whatever they came as.
    let levels, small;
    if (film.dims === 2) {
      const sheet = document.createElement("canvas");
      sheet.width = sprite.naturalWidth;
      sheet.height = sprite.naturalHeight;
      const context = sheet.getContext("2d", { willReadFrequently: true });
      context.drawImage(sprite, 0, 0);
      levels = film.steps.map((_, i) => {
        const data = context.getImageData((i % film.across) * cells, Math.floor(i / film.across) * cells, cells, cells).data;
        return Uint8Array.from({ length: cells * cells }, (_, k) => data[4 * k]);
      });
      small = document.createElement("canvas");
      small.width = small.height = cells;
    } else {
      const all = words(film.levels);
      levels = film.steps.map((_, i) => all.subarray(i * cells, (i + 1) * cells));
    }

    const between = (a, b, share) => a + (b - a) * share;

    function drawPlane(from, to, share) {
      const ramp = bytes(colours.ramps[theme()]), context = small.getContext("2d");
      const image = context.createImageData(cells, cells);
      for (let k = 0; k < cells * cells; k++) {
        const level = 3 * Math.round(between(levels[from][k], levels[to][k], share));
        image.data.set([ramp[level], ramp[level + 1], ramp[level + 2], 255], 4 * k);
      }
      context.putImageData(image, 0, 0);
      const [target, side] = ready(density);
      target.imageSmoothingQuality = "high";
      target.drawImage(small, 0, 0, side, side);
      const [points, width, scale] = ready(latents);
      points.globalAlpha = 0.75;
      for (let i = 0; i < film.points; i++) {
        const x = between(at[from * size + 2 * i], at[to * size + 2 * i], share) / 65535;
        const y = between(at[from * size + 2 * i + 1], at[to * size + 2 * i + 1], share) / 65535;
        points.fillStyle = colour(label(i));
        points.beginPath();
        points.arc(x * width, (1 - y) * width, DOT * scale, 0, 7);
        points.fill();
      }
    }

    function drawLine(from, to, share) {
      const [context, side, scale] = ready(density);
      context.strokeStyle = colour(0);
      context.lineWidth = 2 * scale;
      context.beginPath();
      for (let k = 0; k < cells; k++) {
        context.lineTo(((k + 0.5) / cells) * side, side * (1 - between(levels[from][k], levels[to][k], share) / 65535));
      }
      context.stroke();
      const [bars, width] = ready(latents), stacks = new Float64Array(BINS);
      for (const one of [...new Set(film.labels || [0])].sort((a, b) => a - b)) {
        const counts = new Float64Array(BINS);
        for (let i = 0; i < film.points; i++) {
          if (label(i) !== one) continue;
          const u = between(at[from * size + i], at[to * size + i], share) / 65535;
          counts[Math.min(BINS - 1, Math.floor(u * BINS))] += BINS / film.points;
        }
        bars.fillStyle = colour(one);
        counts.forEach((count, bin) => {
          const height = (count / 2) * width;
          bars.fillRect((bin / BINS) * width, width * (1 - stacks[bin] / 2) - height, width / BINS - 1, height);
          stacks[bin] += count;
        });
      }
    }

    return film.dims === 2 ? drawPlane : drawLine;
  }

  function player(root, film, paint) {
    const slider = root.querySelector("input"), button = root.querySelector("button"), output = root.querySelector("output");
    const last = film.steps.length - 1;
    let place = last, playing = false, before = 0;

    function draw() {
      const from = Math.floor(place), to = Math.min(last, from + 1);
      paint(from, to, place - from);
      const frame = Math.round(place), step = film.steps[frame].toLocaleString("en-US");
      const bits = film.bits[frame] === null ? "" : ` · ${film.bits[frame].toFixed(4)} bits/dim`;
      output.textContent = `step ${step}${bits}`;
      slider.value = frame;
      slider.setAttribute("aria-valuetext", `step ${step}${bits}`);
    }

    function stop() {
      playing = false;
      button.textContent = "Play";
      button.setAttribute("aria-label", "Play the animation");
    }

    const rate = Math.max(LEAST, last / SECONDS);
    function tick(now) {
      if (!playing) return;
      const next = Math.min(last, place + ((now - before) / 1000) * rate);
      // Who asked for less motion sees one still after another.
      if (!calm.matches || Math.floor(next) !== Math.floor(place) || next === last) {
        place = calm.matches ? Math.floor(next) : next;
        before = now;
        draw();
      }
      if (place >= last) stop();
      else requestAnimationFrame(tick);
    }

    button.addEventListener("click", () => {
      if (playing) return stop();
      playing = true;
      if (place >= last) place = 0;
      button.textContent = "Pause";
      button.setAttribute("aria-label", "Pause the animation");
      requestAnimationFrame((now) => { before = now; tick(now); });
    });
    slider.addEventListener("input", () => { stop(); place = Number(slider.value); draw(); });
    // The arrows move the slider by themselves; from the button they should, too.
    button.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!move) return;
      event.preventDefault();
      stop();
      place = Math.min(last, Math.max(0, Math.round(place) + move));
      draw();
    });
    new ResizeObserver(draw).observe(root.querySelector("canvas"));
    dark.addEventListener("change", draw);
    draw();
  }

  for (const root of document.querySelectorAll(".reel")) {
    const film = JSON.parse(root.querySelector("script").textContent);
    const sprite = root.querySelector(".sprite");
    const start = () => player(root, film, (film.pictures ? pictures : densities)(root, film, sprite));
    if (sprite) sprite.decode().then(start);
    else start();
  }
})();
