// Runbooks as elements: headings, paragraphs, lists, blocks of commands, and in lines emphasis, code and links. Text becomes text
// and never markup.

function inline(into: HTMLElement, text: string): void {
  const pattern = /\*\*(.+?)\*\*|\*(.+?)\*|`(.+?)`|\[([^\]]+)\]\(([^)\s]+)\)/g;
  let from = 0;
  for (const found of text.matchAll(pattern)) {
    into.append(text.slice(from, found.index));
    from = found.index + found[0].length;
    const [, strong, em, code, label, link] = found;
    const tag = strong !== undefined ? "strong" : em !== undefined ? "em" : code !== undefined ? "code" : "a";
    const element = document.createElement(tag);
    if (element instanceof HTMLAnchorElement) {
      const page = /^([A-Z]\w+)\.md$/.exec(link ?? "");
      if (page) element.href = `#/runbooks/${page[1]}`;
      else element.replaceWith(label ?? "");
      element.textContent = label ?? "";
      into.append(page ? element : (label ?? ""));
      continue;
    }
    if (tag === "code") element.textContent = code ?? "";
    else inline(element, strong ?? em ?? "");
    into.append(element);
  }
  into.append(text.slice(from));
}

/** Returns the elements of a page. */
export function elements(markdown: string): HTMLElement[] {
  const made: HTMLElement[] = [];
  const lines = markdown.split("\n");
  const add = (tag: string, text: string) => {
    const element = document.createElement(tag);
    inline(element, text);
    made.push(element);
  };
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at] ?? "";
    const heading = /^(#{1,3}) (.*)/.exec(line);
    if (line.startsWith("```")) {
      const code: string[] = [];
      for (at += 1; at < lines.length && !lines[at]?.startsWith("```"); at += 1) code.push(lines[at] ?? "");
      const block = document.createElement("pre");
      block.tabIndex = 0;
      block.textContent = code.join("\n");
      made.push(block);
    } else if (heading) {
      add(heading[1] === "#" ? "h2" : "h3", heading[2] ?? "");
    } else if (/^(- |\d+\. )/.test(line)) {
      const list = document.createElement(line.startsWith("- ") ? "ul" : "ol");
      let item = "";
      const push = () => {
        const element = document.createElement("li");
        inline(element, item);
        if (item) list.append(element);
      };
      for (; at < lines.length && (lines[at] ?? "").trim() && !lines[at]?.startsWith("```"); at += 1) {
        const next = /^(?:- |\d+\. )(.*)/.exec(lines[at] ?? "");
        if (next) {
          push();
          item = next[1] ?? "";
        } else item += ` ${(lines[at] ?? "").trim()}`;
      }
      push();
      made.push(list);
      at -= 1;
    } else if (line.trim()) {
      const paragraph: string[] = [];
      for (; at < lines.length && (lines[at] ?? "").trim() && !lines[at]?.startsWith("```") && !/^(- |#)/.test(lines[at] ?? ""); at += 1) paragraph.push(lines[at] ?? "");
      add("p", paragraph.join(" "));
      at -= 1;
    }
  }
  return made;
}
