// Sends a body that is too large as `fetch` does; prints what it was answered.
//
// Arguments: a method, a URL, and the size of the body in MiB. The token is in AOD_API_TOKEN.

const [method, url, size] = process.argv.slice(2);
const headers = { authorization: `Bearer ${process.env.AOD_API_TOKEN}` };
const piece = new Uint8Array(1 << 20).fill(32);

function pieces() {
  let left = Number(size);
  return new ReadableStream({
    pull(controller) {
      if (left-- > 0) controller.enqueue(piece);
      else controller.close();
    },
  });
}

for (const [how, body] of [["whole", new Uint8Array(size << 20).fill(32)], ["in pieces", pieces()]]) {
  const reply = await fetch(url, { method, headers, body, duplex: "half" });
  const { detail } = await reply.json();
  console.log(JSON.stringify({ client: `fetch, ${how}`, status: reply.status, detail }));
}
