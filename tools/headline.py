"""Draw book/_static/headline.png, the picture of the README and the first page."""

from pathlib import Path

import jax

from ntk_eoc.experiments import figure1
from ntk_eoc.plotting import figure1 as draw
from ntk_eoc.plotting.style import save, styled

TARGET = Path(__file__).parents[1] / "book" / "_static" / "headline.png"


def main() -> None:
    """Compute both panels and write the file."""
    jax.config.update("jax_enable_x64", True)
    edge, ordered = figure1.edge(figure1.Edge(deepest=10**6)), figure1.ordered()
    with styled():
        fig = draw.headline(edge[:1] + edge[2:3], ordered[:1] + ordered[2:3], ("relu", "elu"))
        print(save(fig, TARGET))


if __name__ == "__main__":
    main()
