// No change of a visitor is lost: the page goes on listening until all it asked for is answered.
//
// Gradio's client (6.31) listens to one stream per page. When nothing is left to do the server says
// close_stream; an event that the client sends before it has heard that is accepted, but nobody
// listens to its answer any more, and the drawing never comes. Here close_stream is kept back, and
// the stream opened again, as long as an accepted event is not completed.
(() => {
  const plain = window.fetch.bind(window);
  const sending = new Set(); // requests for events that are under way
  const accepted = new Set(); // ids of events that are not completed
  const early = new Set(); // ids of those completed before their acceptance was heard

  const join = async (call) => {
    const answer = await plain(...call);
    const { event_id } = answer.ok ? await answer.clone().json() : {};
    if (event_id && !early.delete(event_id)) accepted.add(event_id);
    return answer;
  };

  async function* messages(response) {
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    let text = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const found = (text + decoder.decode(part.value, { stream: true })).split("\n\n");
      text = found.pop();
      yield* found;
    }
  }

  // Resolves to whether to listen again.
  const hear = async (response, out) => {
    for await (const message of messages(response)) {
      const { msg, event_id } = JSON.parse(message.replace(/^data: /, ""));
      if (msg === "process_completed" && !accepted.delete(event_id)) early.add(event_id);
      if (msg === "close_stream") {
        await Promise.allSettled(sending);
        if (accepted.size) return true;
      }
      out.enqueue(new TextEncoder().encode(message + "\n\n"));
    }
    return false;
  };

  const listen = (first, call) =>
    new ReadableStream({
      async start(out) {
        try {
          let response = first;
          while (await hear(response, out)) response = await plain(...call);
          out.close();
        } catch (error) {
          out.error(error);
        }
      },
    });

  window.fetch = async (...call) => {
    const url = String(call[0].url || call[0]);
    if (url.includes("/queue/join")) {
      const answer = join(call);
      sending.add(answer);
      return answer.finally(() => sending.delete(answer));
    }
    const response = await plain(...call);
    const is_stream = url.includes("/queue/data") && response.ok;
    return is_stream ? new Response(listen(response, call), response) : response;
  };
})();
