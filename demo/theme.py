"""How the page looks: system fonts, one accent colour, and the order of its parts on a phone.

Nothing is fetched from another machine: no web fonts, no scripts.
"""

from __future__ import annotations

import html

import gradio as gr

from demo.words import marked, say

SYSTEM_FONTS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
MONO_FONTS = ("ui-monospace", "Menlo", "Consolas", "monospace")

TITLE = "Stylize"
PROMISE = (
    "Drop a photo of a person, get a drawing of that person. Photos stay on the machine that runs "
    "this page and are deleted within the hour."
)
HEADER = """
<header id="header">
  <svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="9" fill="#4f46e5"/>
  <path d="M9 22c1.5-3.5 4-5.2 7-5.2s5.500 1.700 7 5.200M16 15.500a4 4 0 1 0 0-8 4 4 0 0 0 0 8z"
  fill="none" stroke="#fff" stroke-width="2.400" stroke-linecap="round"/></svg>
  <div><h1>Stylize</h1>
  <p>{promise}</p></div>
</header>
"""

# Gradio confines `css` to the inside of the page; its frame can be reached from the head only.
HEAD = """
<style>
.gradio-container { width: 100%; max-width: 1280px !important; margin: 0 auto !important; }
@media (max-width: 800px) { .gradio-container > .main { padding: 12px !important; } }
</style>
"""

CSS = """
#header-block .html-container, .status .html-container, .stage-empty .html-container {
  padding: 0; }
#header { display: flex; gap: 14px; align-items: center; }
#header svg { width: 42px; height: 42px; flex: none; }
#header h1 { font-size: 1.45rem; font-weight: 700; margin: 0; line-height: 1.2; }
#header p { margin: 2px 0 0; color: var(--body-text-color-subdued); font-size: .92rem; }
.tabitem { padding: 12px 0 0 !important; border: 0 !important; background: none !important; }
.workspace { gap: 20px; align-items: flex-start; }
.choices, .outcome { gap: 12px; }
.stage-empty .empty { height: 480px; border: 2px dashed var(--border-color-primary);
  border-radius: var(--radius-xl); display: flex; flex-direction: column; gap: 10px;
  align-items: center; justify-content: center; text-align: center; padding: 24px;
  color: var(--body-text-color-subdued); background: var(--block-background-fill); }
.stage-empty .empty span { color: inherit; max-width: 30em; white-space: pre-line;
  line-height: 1.7; }
.stage-empty .empty span::first-line { color: var(--body-text-color); font-size: 1.08rem;
  font-weight: 600; }
.stage-empty .empty svg { width: 54px; height: 54px; opacity: .55; }
.status .line { font-size: .92rem; color: var(--body-text-color-subdued); }
.status .problem { color: var(--body-text-color); border-left: 4px solid #f59e0b;
  background: color-mix(in srgb, #f59e0b 12%, transparent); padding: 8px 12px;
  border-radius: var(--radius-md); }
.strip .grid-wrap { min-height: 0; padding-top: 30px; }
.strip .grid-container { gap: 8px; }
.looks .grid-wrap, .grid .grid-wrap { max-height: none; }
.with-picture { gap: 10px; }
.styles .caption-label, .grid .caption-label { left: 0; right: 0; bottom: 0; max-width: none;
  margin: 0; padding: 2px 6px; border-radius: 0; border-width: 1px 0 0; text-align: center;
  font-size: .78rem; }
.status summary { cursor: pointer; } .status details[open] summary { margin-bottom: 4px; }
[id$="examples"] .gallery-item .container { width: 66px !important; height: 66px !important; }
.forget { max-width: 200px; margin: 12px auto 0; background: none; font-weight: 400;
  border: 1px solid var(--border-color-primary); color: var(--body-text-color-subdued); }
.forget:hover { color: var(--body-text-color); }
.verify { max-width: 720px; margin: 0 auto; gap: 12px; }
.status .line { white-space: pre-line; }
.statement { display: grid; grid-template-columns: max-content 1fr; gap: 8px 20px; margin: 0;
  padding: 14px 16px; background: var(--block-background-fill); font-size: .95rem;
  border: 1px solid var(--border-color-primary); border-radius: var(--radius-lg); }
.statement dt { color: var(--body-text-color-subdued); }
.statement dd { margin: 0; overflow-wrap: anywhere; }
.actions, .line-row { gap: 10px; align-items: center; }
.line-row .status { flex: 1 1 0; min-width: 0; }
.references, .slot { gap: 8px; }
.line-row .stop { flex: 0 0 90px !important; }
.outcome:has(.result img) > .stage-empty, .outcome:has(.marker img) > .stage-empty,
.outcome:has(.looks img) > .stage-empty,
.outcome:not(:has(.result img)) .result, .outcome:not(:has(.result img)) .by-hand,
.outcome:not(:has(.result img)) .with-picture,
.marking:not(:has(.marker img)), .slot:not(:has(.look img)) .by-hand,
.strip:not(:has(.thumbnail-item)),
.outcome:has(> .looks):not(:has(.looks img)) .actions, .walk:not(:has(button:enabled)),
.outcome:not(:has(.result img)):not(:has(.film)) .form:has(.recipe),
.clip:not(:has(video)), .who:not(:has(.thumbnail-item)) { display: none !important; }
.stop:disabled { background: var(--button-secondary-background-fill); opacity: .45;
  color: var(--button-secondary-text-color); }
.running { margin: 0; display: flex; flex-direction: column; align-items: center; gap: 10px; }
.running img { width: auto; max-width: 100%; height: 480px; object-fit: contain;
  border-radius: var(--radius-lg); background: var(--block-background-fill); }
.running progress { width: 100%; height: 8px; border: 0; border-radius: 4px; overflow: hidden;
  appearance: none; background: var(--border-color-primary); }
.running progress::-webkit-progress-bar { background: var(--border-color-primary); }
.running progress::-webkit-progress-value { background: var(--color-accent); }
.running progress::-moz-progress-bar { background: var(--color-accent); }
.camera { margin: 0; } .camera img { width: 100%; height: auto; max-height: 480px;
  object-fit: contain; border-radius: var(--radius-lg); }
.film video { max-height: 480px; }
.outcome:has(.running) > .stage-empty, .outcome:has(.film video) > .stage-empty,
.live:not(:has(.running)),
.outcome:not(:has(.film video)) .film, .outcome:has(.running) .film,
.outcome:has(.film):not(:has(.film video)) .form:has(.recipe) { display: none !important; }
.pile .wrap { min-height: 0; }
#train-findings .html-container, #train-progress .html-container, #train-curves .html-container {
  padding: 0; }
.findings, .training, .curves figure { background: var(--block-background-fill);
  border: 1px solid var(--border-color-primary); border-radius: var(--radius-lg);
  padding: 12px 14px; }
.findings { display: flex; flex-direction: column; gap: 10px; font-size: .92rem; }
.findings + .findings { margin-top: 10px; }
.finding { display: flex; gap: 10px; line-height: 1.4; }
.finding > b { flex: none; width: 20px; height: 20px; border-radius: 50%; text-align: center;
  font-size: .78rem; line-height: 20px; color: #fff; background: #64748b; }
.finding.fine > b { background: #059669; } .finding.warning > b { background: #d97706; }
.finding.stop > b { background: #dc2626; }
.finding em, .finding .files, .findings summary, .training p, .curves small {
  color: var(--body-text-color-subdued); font-style: normal; }
.finding .files { font-size: .82rem; overflow-wrap: anywhere; }
.findings summary { cursor: pointer; } .findings details .finding { margin-top: 8px; }
.training .head { display: flex; justify-content: space-between; gap: 12px; }
.training .bar { height: 8px; margin: 10px 0 6px; border-radius: 4px; overflow: hidden;
  background: var(--border-color-primary); }
.training .bar i { display: block; height: 100%; border-radius: 4px; transition: width .6s;
  background: var(--color-accent); }
.training.is-done .bar i { background: #059669; }
.training.is-failed .bar i { background: #dc2626; }
.training p { margin: 0; font-size: .92rem; }
.training .worry { margin-top: 8px; border-left: 4px solid #f59e0b; padding-left: 10px; }
.curves { display: grid; grid-template-columns: repeat(auto-fill, minmax(170px, 1fr)); gap: 10px; }
.curves figure { margin: 0; padding: 10px 12px; font-size: .86rem; }
.curves figcaption { display: flex; justify-content: space-between; gap: 8px; }
.curves svg { width: 100%; height: 56px; display: block; margin: 4px 0; }
.curves polyline { fill: none; stroke: var(--color-accent); stroke-width: 2;
  vector-effect: non-scaling-stroke; stroke-linejoin: round; }
.grown .grid-wrap { max-height: none; }
.grown .thumbnail-item { aspect-ratio: 2 / 1; }
.outcome:has(.training) > .stage-empty, .outcome:not(:has(.training)) .train-actions,
.outcome:not(:has(.training)) > .clear-up { display: none !important; }
.recipe textarea, .recipe input { font-family: var(--font-mono); font-size: .82rem; }
.seed-row { align-items: center; background: var(--block-background-fill); }
#dice, #vary-dice { margin: auto 10px 12px 0; height: 40px; border-radius: var(--radius-md); }
footer .divider { display: none !important; }
@media (min-width: 801px) { .outcome { position: sticky; top: 12px; } }
@media (max-width: 800px) {
  #header svg { display: none; }
  .workspace { flex-direction: column; gap: 12px; align-items: stretch; }
  .choices, .outcome { display: contents; }
  .workspace, .choices > *, .outcome > * { width: 100%; max-width: calc(100vw - 24px);
    min-width: 0; }
  .outcome > * { order: 5; } .settings { order: 6; }
  .outcome > .marking, .outcome > .by-hand { order: 5; }
  .stage-empty .empty { height: 180px; }
  [id$="examples"] .gallery-item .container { width: 51px !important; height: 51px !important; }
  .running img { height: auto; max-height: 320px; }
  .looks .grid-container { grid-template-columns: repeat(3, minmax(0, 1fr)) !important; }
  .styles .grid-container, .grid .grid-container, #batch-gallery .grid-container {
     grid-template-columns: repeat(3, minmax(0, 1fr)) !important; }
  .statement { grid-template-columns: 1fr; gap: 2px; } .statement dd { margin-bottom: 8px; }
  .grown .grid-container { grid-template-columns: repeat(2, minmax(0, 1fr)) !important; }
}
"""

LIKENESS = "In pose and light nearer to its photo than to {percent} % of other faces"
LIKENESS_ABOUT = (
    "Compared as grey thumbnails of 16 pixels with 256 faces nobody has: pose, light, hair and "
    "outline count. A drawing that keeps them has 100, one of somebody else about 60. Whether it "
    "is recognised as the same person is not measured."
)
EMPTY = """
<div class="empty"><svg viewBox="0 0 48 48" fill="none" stroke="currentColor" stroke-width="2.500"
 stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
<rect x="5" y="8" width="38" height="32" rx="5"/><circle cx="24" cy="21" r="5.500"/>
<path d="M12 37c2-6.500 6.500-9 12-9s10 2.500 12 9"/></svg>
<span>{text}</span></div>
"""


def header_html() -> str:
    """Return the name of the page and what it promises."""
    return HEADER.format(promise=marked(PROMISE))


def empty_html(title: str, text: str) -> str:
    """Return what stands where a picture will be: what appears there, and what it needs."""
    return EMPTY.format(text=marked(f"{title}\n{text}"))


def build_theme() -> gr.themes.Base:
    """Return the theme: indigo on grey, light and dark, fonts of the system."""
    return gr.themes.Default(
        primary_hue="indigo",
        secondary_hue="indigo",
        neutral_hue="slate",
        radius_size="lg",
        font=[*SYSTEM_FONTS],
        font_mono=[*MONO_FONTS],
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        block_shadow="0 1px 2px 0 rgb(15 23 42 / 0.06)",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_500",
        button_primary_text_color="white",
    )


def first_line(text: str) -> str:
    """Return the line below the picture as it stands before anything happened, "" for none."""
    return f'<div class="line" role="status">{marked(text) if text else ""}</div>'


def status_line(text: str) -> str:
    """Return the line below the picture as HTML; screen readers announce it."""
    return f'<div class="line" role="status">{html.escape(say(text))}</div>'


def likeness_line(percent: str) -> str:
    """Return what the likeness of a drawing is, and what that means when it is unfolded."""
    text = html.escape(say(LIKENESS.format(percent=percent)))
    about = html.escape(say(LIKENESS_ABOUT))
    return f'<details class="line"><summary>{text}</summary>{about}</details>'


def problem_line(text: str) -> str:
    """Return the same line for a problem and its remedy."""
    return f'<div class="line problem" role="alert">{html.escape(say(text))}</div>'
