"""The explorer's numbers: Gaussian expectations of each activation as short Chebyshev series that a page can read.

``python -m ntk_eoc.explorer --out book/_static/explorer`` writes them, with the picture for readers without scripts.
"""

from ntk_eoc.explorer.catalogue import CATALOGUE as CATALOGUE
from ntk_eoc.explorer.catalogue import SIGMA_B_MAX as SIGMA_B_MAX
from ntk_eoc.explorer.catalogue import Entry as Entry
from ntk_eoc.explorer.series import Series as Series
from ntk_eoc.explorer.series import build as build
