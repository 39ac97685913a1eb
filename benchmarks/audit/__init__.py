"""Whether the product does the same for everybody: photographs with race, gender and age, as they are and changed."""
